import type { ClassMetrics } from "../confusion.ts";
import { percent } from "../markdown.ts";
import { type Chart, SERIES, shareAxis } from "./chart.ts";

const MEASURES = ["recall", "precision", "f1"] as const;
const NAMES = { recall: "recall", precision: "precision", f1: "F1" };

/** Recall, precision and F1 of every category. */
export function classChart(classes: readonly ClassMetrics[]): Chart {
  const values = classes.flatMap((row) =>
    MEASURES.map((measure) => ({ category: row.category, measure: NAMES[measure], value: row[measure] }))
  );
  const names = MEASURES.map((measure) => NAMES[measure]);
  const y = {
    field: "category",
    type: "nominal",
    sort: null,
    title: null,
    axis: { grid: true, labelColor: "var(--ink)", labelFontSize: 13 },
  } as const;
  const x = shareAxis(null);
  const byF1 = classes.toSorted((a, b) => b.f1 - a.f1);
  const f1Of = ({ category, f1 }: ClassMetrics) => `${category} (F1 ${f1.toFixed(2)})`;
  return {
    title: "Recall, precision and F1 of each category",
    description: byF1.length > 0 ? `Best: ${f1Of(byF1[0])}; worst: ${f1Of(byF1.at(-1)!)}.` : "There are no categories.",
    spec: {
      width: 320,
      height: { step: 32 },
      data: { values },
      layer: [
        {
          mark: { type: "rule", strokeWidth: 2, color: "var(--muted)", opacity: 0.5 },
          encoding: { y, x: { ...x, field: "value", aggregate: "min" }, x2: { field: "value", aggregate: "max" } },
        },
        {
          mark: { type: "point", size: 80, strokeWidth: 1.5, stroke: "var(--card)" },
          encoding: {
            y,
            x: { ...x, field: "value" },
            fill: { field: "measure", type: "nominal", scale: { domain: names, range: SERIES.slice(0, 3) }, title: null },
            shape: {
              field: "measure",
              type: "nominal",
              scale: { domain: names, range: ["circle", "triangle-up", "diamond"] },
              title: null,
            },
          },
        },
      ],
    },
    table: {
      header: ["category", "pictures", "answers", "recall", "precision", "F1"],
      rows: classes.map((
        row,
      ) => [row.category, row.support, row.predicted, percent(row.recall), percent(row.precision), row.f1.toFixed(3)]),
    },
  };
}
