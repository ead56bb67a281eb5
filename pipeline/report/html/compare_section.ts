/** Several runs side by side. */
import { calibration } from "../calibration.ts";
import type { Cell } from "../charts/chart.ts";
import { intervalChart } from "../charts/interval_chart.ts";
import { comparableGroups, type EvaluationGroup } from "../evaluation_groups.ts";
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
  const groups = comparableGroups(all, ({ evaluation }) => evaluation);
  const sections = await Promise.all(groups.map((group) => groupPart(group, all[0])));
  return html`<section id="${id}">
<h2>Comparison</h2>
${groups.length > 1 && html`<p class="notice">${mixedNotice(groups)}</p>`}
${sections}
</section>`;
}

/** Table, averages, sentences and chart of evaluations that can be compared. */
async function groupPart({ label, members }: EvaluationGroup<Named>, first: Named): Promise<Html> {
  const rows = members.map((named): Cell[] => {
    const { metrics, predictions } = named.evaluation.report;
    const reliability = calibration(predictions);
    return [
      nameOf(named),
      percent(metrics.accuracy.value),
      intervalText(metrics.accuracy.interval),
      named === first ? "–" : besideText(first.evaluation, named.evaluation),
      metrics.macroF1.toFixed(3),
      reliability ? percent(reliability.ece) : "–",
      metrics.total,
    ];
  });
  const header = ["run", "accuracy", "95 % interval", `beside ${nameOf(first)}`, "macro F1", "calibration error", "pictures"];
  const chart = intervalChart(members.map((named) => ({ ...accuracyRow(named.evaluation), name: nameOf(named) })), {
    title: label ? `Accuracy: ${label}` : "Accuracy of the runs",
    axis: "right answers",
  });
  const sentences = members.filter((named) => named !== first && !named.evaluation.baseline).flatMap((named) => {
    const difference = differenceOf(first.evaluation, named.evaluation);
    return difference ? [differenceText(difference, { first: nameOf(first), second: nameOf(named) })] : [];
  });
  return html`${label && html`<h3>${capital(label)}</h3>`}
${dataTable({ header, rows }, label ? `Runs side by side: ${label}` : "Runs side by side")}
${spreads(members).map((text) => html`<p class="verdict">${text}</p>`)}
${sentences.map((text) => html`<p>${text}</p>`)}
${await chartFigure(chart, { note: "Bars are 95 % intervals (Wilson)." })}`;
}

function mixedNotice(groups: readonly EvaluationGroup<Named>[]): string {
  return `These evaluations are not all of the same model on the same pictures, so they are shown in ${groups.length} groups, and averages ` +
    "are taken within a group alone. Accuracies of different groups do not say which run is better.";
}

/** The difference on the pictures that both have, and how many these are when there are others. */
function besideText(first: EvaluationPart, second: EvaluationPart): string {
  const difference = differenceOf(first, second);
  if (!difference) return "no picture in common";
  const { total, difference: points, interval: [low, high] } = difference;
  const most = Math.max(first.report.predictions.length, second.report.predictions.length);
  const some = total < most ? `\non the ${total} ${total === 1 ? "picture" : "pictures"} of both` : "";
  return `${pointsText(points)} (${pointsText(low)} to ${pointsText(high)})${some}`;
}

function nameOf({ run, evaluation }: Named): string {
  return `${run}: ${methodName(evaluation)}`;
}

function capital(text: string): string {
  return text.charAt(0).toUpperCase() + text.slice(1);
}

/** What makes runs of a method seeds of each other, beside the model and the pictures: rounded weights and another layout are something else. */
const KIND = ["weights", "layout"];

/** Mean and standard deviation of the accuracy of each method that was run more than once. */
function spreads(members: readonly Named[]): string[] {
  const kind = ({ evaluation: { method, report: { facts } } }: Named) =>
    [method, ...KIND.flatMap((name) => facts[name] === undefined ? [] : [`${name} ${facts[name]}`])].join(", ");
  const groups = Map.groupBy(members, kind);
  const kinds = new Set(members.map(({ evaluation }) => evaluation.method)).size;
  return [...groups].flatMap(([kind, group]) => {
    if (group.length < 2) return [];
    const values = group.map(({ evaluation }) => evaluation.report.metrics.accuracy.value);
    const mean = values.reduce((a, b) => a + b, 0) / values.length;
    const spread = Math.sqrt(values.reduce((sum, value) => sum + (value - mean) ** 2, 0) / (values.length - 1));
    const name = groups.size > kinds ? kind : group[0].evaluation.method;
    return [`${name}: ${percent(mean)} on average over ${values.length} runs, standard deviation ${(100 * spread).toFixed(1)} points.`];
  });
}
