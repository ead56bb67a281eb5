import type { Confusion } from "../confusion.ts";
import { percent } from "../markdown.ts";
import type { Chart } from "./chart.ts";

/** Answers by label: a row per label, the darker the larger its part of the row. */
export function confusionChart({ categories, counts }: Confusion): Chart {
  const other = counts.some((row) => row[categories.length] > 0);
  const answers = other ? [...categories, "other"] : [...categories];
  const values = categories.flatMap((label, i) => {
    const total = counts[i].reduce((a, b) => a + b, 0);
    return answers.map((answer, j) => ({
      label,
      answer,
      count: counts[i][j],
      text: counts[i][j] === 0 ? "" : String(counts[i][j]),
      share: total === 0 ? 0 : counts[i][j] / total,
      colour: i === j ? "var(--accent)" : "var(--wrong)",
    }));
  });
  const mistakes = values.filter(({ label, answer, count }) => label !== answer && count > 0).sort((a, b) => b.count - a.count).slice(0, 3);
  const right = values.filter(({ label, answer }) => label === answer);
  const step = categories.length > 12 ? 26 : 38;
  const x = {
    field: "answer",
    type: "nominal",
    sort: answers,
    title: "answer",
    axis: { orient: "top", labelAngle: -40, grid: false },
  } as const;
  const y = { field: "label", type: "nominal", sort: [...categories], title: "label", axis: { grid: false } } as const;
  return {
    title: "Answers by label",
    description: `Right answers: ${right.map(({ label, share }) => `${label} ${percent(share)}`).join(", ")}. ` +
      (mistakes.length > 0
        ? `Most frequent mistakes: ${mistakes.map(({ label, answer, count }) => `${label} taken for ${answer} (${count})`).join(", ")}.`
        : "There are no mistakes."),
    spec: {
      width: { step },
      height: { step },
      data: { values },
      encoding: { x, y },
      layer: [
        { mark: { type: "rect", color: "var(--line)", opacity: 0.35, stroke: "var(--card)", strokeWidth: 2, cornerRadius: 4 } },
        {
          mark: { type: "rect", stroke: "var(--card)", strokeWidth: 2, cornerRadius: 4 },
          encoding: {
            color: { field: "colour", type: "nominal", scale: null },
            opacity: { field: "share", type: "quantitative", scale: { domain: [0, 1], range: [0, 1] }, legend: null },
          },
        },
        {
          mark: { type: "text", fontSize: 13 },
          encoding: {
            text: { field: "text" },
            color: { condition: { test: "datum.share > 0.6", value: "var(--card)" }, value: "var(--ink)" },
          },
        },
      ],
    },
    table: { header: ["label", ...answers], rows: categories.map((label, i) => [label, ...answers.map((_, j) => counts[i][j])]) },
  };
}
