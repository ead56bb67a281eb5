import { percent } from "../markdown.ts";
import type { Proportion } from "../proportion.ts";
import { type Chart, shareAxis } from "./chart.ts";

/** A row of an {@linkcode intervalChart}. */
export interface IntervalRow {
  /** Its name. */
  name: string;
  /** What is drawn. */
  share: Proportion;
  /** Colour by name; `accent` when left out. */
  colour?: string;
}

/** Units across. */
const WIDTH = 380;

/** Shares with their 95 % intervals, a row each; name and number stand above the bar, so that long names fit on a small screen, too. */
export function intervalChart(rows: readonly IntervalRow[], options: { title: string; axis: string }): Chart {
  const { title, axis } = options;
  const values = rows.map(({ name, share: { value, interval: [low, high] }, colour = "accent" }) => ({
    name,
    value,
    low,
    high,
    text: percent(value),
    colour: `var(--${colour})`,
  }));
  const colour = { field: "colour", type: "nominal", scale: null } as const;
  const y = { field: "name", type: "nominal", sort: null, axis: null } as const;
  const x = shareAxis(axis);
  // Vega takes letters for wider than they are where it cannot measure them.
  const above = { dy: -15, fontSize: 13, limit: 1.3 * WIDTH };
  return {
    title,
    description: rows.map(({ name, share }) => `${name}: ${shareText(share)}`).join("; "),
    spec: {
      width: WIDTH,
      height: { step: 42 },
      data: { values },
      layer: [
        {
          mark: { type: "rule", strokeWidth: 6, opacity: 0.3, strokeCap: "round" },
          encoding: { y, x: { ...x, field: "low" }, x2: { field: "high" }, color: colour },
        },
        { mark: { type: "point", size: 90 }, encoding: { y, x: { ...x, field: "value" }, color: colour } },
        { mark: { type: "text", ...above, align: "left" }, encoding: { y, x: { value: 0 }, text: { field: "name" } } },
        {
          mark: { type: "text", ...above, align: "right", fontWeight: 600 },
          encoding: { y, x: { value: WIDTH }, text: { field: "text" } },
        },
      ],
    },
    table: {
      header: ["", "share", "right", "of", "95 % from", "to"],
      rows: rows.map((
        { name, share: { value, correct, total, interval: [low, high] } },
      ) => [name, percent(value), correct, total, percent(low), percent(high)]),
    },
  };
}

/** A share in words, with its interval. */
export function shareText({ correct, total, value, interval: [low, high] }: Proportion): string {
  return `${percent(value)} (${correct} of ${total}; 95 % interval ${percent(low)} to ${percent(high)})`;
}
