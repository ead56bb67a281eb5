/** Several runs side by side. */
import { calibration } from "../calibration.ts";
import { intervalChart } from "../charts/interval_chart.ts";
import { percent } from "../markdown.ts";
import type { EvaluationPart, RunFolder } from "../run_folder.ts";
import { chartFigure, dataTable } from "./figure.ts";
import { type Html, html } from "./html.ts";
import { accuracyRow, differenceOf, differenceText, intervalText, methodName, pointsText } from "./result_section.ts";

interface Named {
  run: string;
  evaluation: EvaluationPart;
}

/** The section that compares; nothing for a single run, or without evaluations. */
export async function compareSection(runs: readonly RunFolder[], id: string): Promise<Html | undefined> {
  const all = runs.flatMap((run) => run.evaluations.map((evaluation): Named => ({ run: run.name, evaluation })));
  if (runs.length < 2 || all.length === 0) return undefined;
  const first = all[0];
  const rows = all.map((named) => {
    const { metrics, predictions } = named.evaluation.report;
    const difference = named === first ? undefined : differenceOf(first.evaluation, named.evaluation);
    const reliability = calibration(predictions);
    return [
      nameOf(named),
      percent(metrics.accuracy.value),
      intervalText(metrics.accuracy.interval),
      difference
        ? `${pointsText(difference.difference)} (${pointsText(difference.interval[0])} to ${pointsText(difference.interval[1])})`
        : "–",
      metrics.macroF1.toFixed(3),
      reliability ? percent(reliability.ece) : "–",
      metrics.total,
    ];
  });
  const header = ["run", "accuracy", "95 % interval", `beside ${nameOf(first)}`, "macro F1", "calibration error", "pictures"];
  const chart = intervalChart(all.map((named) => ({ ...accuracyRow(named.evaluation), name: nameOf(named) })), {
    title: "Accuracy of the runs",
    axis: "right answers",
  });
  const sentences = all.slice(1).filter(({ evaluation }) => !evaluation.baseline).flatMap((named) => {
    const difference = differenceOf(first.evaluation, named.evaluation);
    return difference ? [differenceText(difference, { first: nameOf(first), second: nameOf(named) })] : [];
  });
  return html`<section id="${id}">
<h2>Comparison</h2>
${dataTable({ header, rows }, "Runs side by side")}
${spreads(all).map((text) => html`<p class="verdict">${text}</p>`)}
${sentences.map((text) => html`<p>${text}</p>`)}
${await chartFigure(chart, { note: "Bars are 95 % intervals (Wilson)." })}
</section>`;
}

function nameOf({ run, evaluation }: Named): string {
  return `${run}: ${methodName(evaluation)}`;
}

/** Mean and standard deviation of the accuracy of each method that was run more than once. */
function spreads(all: readonly Named[]): string[] {
  return [...Map.groupBy(all, ({ evaluation }) => evaluation.method)].flatMap(([method, group]) => {
    if (group.length < 2) return [];
    const values = group.map(({ evaluation }) => evaluation.report.metrics.accuracy.value);
    const mean = values.reduce((a, b) => a + b, 0) / values.length;
    const spread = Math.sqrt(values.reduce((sum, value) => sum + (value - mean) ** 2, 0) / (values.length - 1));
    return [`${method}: ${percent(mean)} on average over ${values.length} runs, standard deviation ${(100 * spread).toFixed(1)} points.`];
  });
}
