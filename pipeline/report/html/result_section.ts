/** Accuracy first: what was trained beside the base model, and whether the difference is more than chance. */
import { calibration } from "../calibration.ts";
import { intervalChart, type IntervalRow } from "../charts/interval_chart.ts";
import { percent } from "../markdown.ts";
import { modelOf, rightAnswers, sameModel } from "../evaluation_groups.ts";
import { type PairedDifference, pairedDifference } from "../paired_difference.ts";
import type { EvaluationPart, RunFolder } from "../run_folder.ts";
import { chartFigure } from "./figure.ts";
import { type Html, html } from "./html.ts";

/** The section of one run; nothing without an evaluation. */
export async function resultSection(run: RunFolder, id: string): Promise<Html | undefined> {
  const [main, ...others] = run.evaluations;
  if (!main) return undefined;
  const { metrics, predictions } = main.report;
  const base = others.find(({ baseline }) => baseline);
  const difference = base && sameModel(base, main) ? differenceOf(base, main) : undefined;
  const all = Math.max(metrics.total, base?.report.metrics.total ?? 0);
  const some = difference && difference.total < all ? `, on the ${difference.total} pictures of both` : "";
  const reliability = calibration(predictions);
  const chart = intervalChart(run.evaluations.map(accuracyRow), { title: "Accuracy", axis: "right answers" });
  return html`<section id="${id}">
<h2>Result</h2>
<div class="stats">
${stat(methodName(main), percent(metrics.accuracy.value), { note: intervalText(metrics.accuracy.interval), main: true })}
${
    base &&
    stat(methodName(base), percent(base.report.metrics.accuracy.value), { note: intervalText(base.report.metrics.accuracy.interval) })
  }
${
    difference &&
    stat("Difference", pointsText(difference.difference), {
      note: `${pointsText(difference.interval[0])} to ${pointsText(difference.interval[1])}${some}`,
    })
  }
${stat("Macro F1", metrics.macroF1.toFixed(3), { note: `weighted ${metrics.weightedF1.toFixed(3)}` })}
${
    reliability &&
    stat("Calibration error", percent(reliability.ece), {
      note: `mean probability ${percent(reliability.confidence).replace(" ", "\u00a0")}`,
    })
  }
${stat("Pictures", String(metrics.total), { note: `${metrics.classes.filter(({ support }) => support > 0).length} categories` })}
</div>
${
    base && difference &&
    html`<p class="verdict">${differenceText(difference, { first: sentenceName(base), second: sentenceName(main) })}</p>`
  }
${base && !difference && html`<p class="notice">${noDifference(base, main)}</p>`}
${run.evaluations.length > 1 && await chartFigure(chart, { note: "Bars are 95 % intervals (Wilson)." })}
</section>`;
}

/** Why there is no difference between two evaluations. */
function noDifference(base: EvaluationPart, main: EvaluationPart): string {
  const why = sameModel(base, main)
    ? "they have no picture in common"
    : `${sentenceName(base)} is of the model ${modelOf(base)}, ${sentenceName(main)} of ${modelOf(main)}`;
  return `These evaluations cannot be compared: ${why}. Evaluate both with the same settings.`;
}

/** One line of an accuracy chart. */
export function accuracyRow(evaluation: EvaluationPart): IntervalRow {
  return { name: methodName(evaluation), share: evaluation.report.metrics.accuracy, colour: evaluation.baseline ? "plain" : "accent" };
}

/** A method as it is shown. */
export function methodName({ method, folder, baseline }: EvaluationPart): string {
  const name = baseline && /zero-shot/.test(method) ? "Base model" : method.charAt(0).toUpperCase() + method.slice(1);
  return folder === "" || ["eval", "baseline"].includes(folder) ? name : `${name} (${folder})`;
}

/** A method as it is called within a sentence. */
function sentenceName(part: EvaluationPart): string {
  const name = methodName(part);
  return name === "Base model" ? "the base model" : name;
}

/** Two evaluations, on the pictures that both have; nothing when there are none. */
export function differenceOf(first: EvaluationPart, second: EvaluationPart): PairedDifference | undefined {
  return pairedDifference(rightAnswers(first), rightAnswers(second));
}

/** What a difference means, in a sentence or two. */
export function differenceText(difference: PairedDifference, names: { first: string; second: string }): string {
  const { total, gained, lost, interval: [low, high], p } = difference;
  const clear = p < 0.05;
  const verdict = low > 0 && clear
    ? `${names.second} is better than ${names.first} by more than chance`
    : high < 0 && clear
    ? `${names.first} is better than ${names.second} by more than chance`
    : `No clear difference between ${names.second} and ${names.first}: ${
      low > 0 || high < 0 ? "the exact test does not rule out chance" : "the interval of the difference contains 0"
    }`;
  return `${verdict.charAt(0).toUpperCase()}${
    verdict.slice(1)
  }. Of ${total} pictures, ${gained} are right with ${names.second} alone and ${lost} with ${names.first} alone ` +
    `(exact McNemar test: p\u00a0${p < 0.001 ? "<\u00a00.001" : `=\u00a0${p.toFixed(3)}`}; interval by paired bootstrap, 95\u00a0%).`;
}

/** A difference of shares in percentage points, with its sign. */
export function pointsText(difference: number): string {
  const points = (100 * Math.abs(difference)).toFixed(1);
  return `${difference < 0 && points !== "0.0" ? "−" : "+"}${points} pts`;
}

/** An interval of shares. */
export function intervalText([low, high]: readonly [number, number]): string {
  return `${(100 * low).toFixed(1)} to ${percent(high)}`;
}

function stat(name: string, value: string, options: { note?: string; main?: boolean }): Html {
  const { note, main } = options;
  return html`<div class="stat${main && " main"}"><span>${name}</span><strong>${value}</strong>${
    note && html`<small>${note}</small>`
  }</div>`;
}
