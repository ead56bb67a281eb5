import type { Calibration } from "../calibration.ts";
import { percent } from "../markdown.ts";
import { proportion } from "../proportion.ts";
import { type Chart, shareAxis } from "./chart.ts";

/** How often answers of a probability are right, beside how often they should be; the larger a point the more answers. */
export function reliabilityChart({ bins, ece, total, confidence, accuracy }: Calibration): Chart {
  const values = bins.map((bin) => {
    const { interval: [low, high] } = proportion(Math.round(bin.accuracy * bin.count), bin.count);
    return { ...bin, low, high };
  });
  const x = shareAxis("probability of the answer");
  const y = shareAxis("right answers");
  const lean = confidence > accuracy + 0.02
    ? "too sure of itself"
    : confidence < accuracy - 0.02
    ? "not sure enough of itself"
    : "about as sure as it is right";
  return {
    title: "Reliability of the probabilities",
    description: `Expected calibration error ${percent(ece)} over ${total} answers: mean probability ${percent(confidence)}, ` +
      `${percent(accuracy)} right, so the model is ${lean}.`,
    spec: {
      width: 300,
      height: 300,
      layer: [
        {
          data: { values: [{ at: 0 }, { at: 1 }] },
          mark: { type: "line", color: "var(--muted)", strokeDash: [4, 4], strokeWidth: 1.2 },
          encoding: { x: { ...x, field: "at" }, y: { ...y, field: "at" } },
        },
        {
          data: { values },
          mark: { type: "rule", strokeWidth: 4, opacity: 0.25, color: "var(--accent)", strokeCap: "round" },
          encoding: { x: { ...x, field: "confidence" }, y: { ...y, field: "low" }, y2: { field: "high" } },
        },
        {
          data: { values },
          mark: { type: "point", color: "var(--accent)", stroke: "var(--card)", strokeWidth: 1.5 },
          encoding: {
            x: { ...x, field: "confidence" },
            y: { ...y, field: "accuracy" },
            size: { field: "count", type: "quantitative", scale: { domain: [0, total], range: [40, 900] }, legend: null },
          },
        },
      ],
    },
    table: {
      header: ["probability", "answers", "mean probability", "right"],
      rows: bins.map(({ range: [low, high], count, confidence, accuracy }) => [
        `${Math.round(100 * low)} to ${Math.round(100 * high)} %`,
        count,
        percent(confidence),
        percent(accuracy),
      ]),
    },
  };
}
