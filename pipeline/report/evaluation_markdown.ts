import type { EvaluationReport } from "./evaluation_report.ts";
import { escapeMarkdown, inlineCode, markdownTable, percent } from "./markdown.ts";
import type { EmotionMetrics } from "./metrics.ts";
import type { Proportion } from "./proportion.ts";

/** How many wrong answers are listed. */
const WRONG_SHOWN = 20;

/**
 * An evaluation as a Markdown page: what was evaluated, accuracy with its 95 % interval, other averages, each category, the confusion matrix, answers
 * that are no category, and the first wrong answers.
 *
 * @param report The evaluation.
 * @returns The page, headings from the first level.
 */
export function evaluationMarkdown(report: EvaluationReport): string {
  const { facts, metrics, predictions, baseline, skipped = [] } = report;
  const known = Object.entries(facts).flatMap(([name, value]) => value === undefined ? [] : [[name, String(value)]]);
  const wrong = predictions.filter(({ correct }) => !correct);
  return [
    "# Evaluation\n",
    known.length > 0 ? markdownTable(["what", "value"], known) : "",
    summary(metrics, baseline),
    perCategory(metrics),
    confusionTable(metrics),
    otherAnswers(metrics),
    wrong.length > 0 ? wrongAnswers(wrong) : "",
    skipped.length > 0 ? `## Pictures left out\n\nThey could not be decoded.\n\n${list(skipped.map(inlineCode))}` : "",
  ].filter((part) => part !== "").join("\n");
}

function summary(metrics: EmotionMetrics, baseline?: EmotionMetrics): string {
  const rows = (of: EmotionMetrics): [string, string][] => [
    ["accuracy", share(of.accuracy)],
    ["accuracy, white space trimmed", share(of.trimmed)],
    ["answers that are no category", `${of.other.count} (${percent(of.other.value)})`],
    ["macro F1", of.macroF1.toFixed(3)],
    ["weighted F1", of.weightedF1.toFixed(3)],
    ["mean recall of the categories", of.macroRecall.toFixed(3)],
    ...(of.sentiment
      ? [
        ["positive or negative", share(of.sentiment.accuracy)] as [string, string],
        ["positive pictures", share(of.sentiment.positive)] as [string, string],
        ["negative pictures", share(of.sentiment.negative)] as [string, string],
      ]
      : []),
  ];
  const before = baseline && new Map(rows(baseline));
  const table = rows(metrics).map(([name, value]) => before ? [name, value, before.get(name) ?? ""] : [name, value]);
  return `## Result\n\n${markdownTable(["", `${metrics.total} pictures`, ...(before ? ["before training"] : [])], table)}`;
}

function perCategory({ classes }: EmotionMetrics): string {
  const rows = classes.map(({ category, support, predicted, precision, recall, f1 }) => [
    category,
    support,
    predicted,
    percent(precision),
    percent(recall),
    f1.toFixed(3),
  ]);
  return `## Categories\n\n${markdownTable(["category", "pictures", "answers", "precision", "recall", "F1"], rows)}`;
}

function confusionTable({ confusion: { categories, counts } }: EmotionMetrics): string {
  const rows = categories.map((category, i) => [category, ...counts[i]]);
  return `## Answers by label\n\nA row per label, a column per answer.\n\n${markdownTable(["label", ...categories, "other"], rows)}`;
}

function otherAnswers({ other }: EmotionMetrics): string {
  if (other.count === 0) return "";
  const rows = other.answers.map(({ answer, count }) => `${inlineCode(answer)}: ${count}`);
  return `## Answers that are no category\n\nThe most frequent of ${other.count}.\n\n${list(rows)}`;
}

function wrongAnswers(wrong: EvaluationReport["predictions"]): string {
  const rows = wrong.slice(0, WRONG_SHOWN).map(({ id, label, prediction }) =>
    `${escapeMarkdown(id)}: ${inlineCode(prediction)} for ${escapeMarkdown(label)}`
  );
  const which = wrong.length > WRONG_SHOWN ? `The first ${WRONG_SHOWN} of ${wrong.length}.\n\n` : "";
  return `## Wrong answers\n\n${which}${list(rows)}`;
}

function list(items: readonly string[]): string {
  return items.map((item) => `- ${item}\n`).join("");
}

function share({ correct, total, value, interval: [low, high] }: Proportion): string {
  return `${percent(value)} (${correct} of ${total}; 95 %: ${(100 * low).toFixed(1)} to ${(100 * high).toFixed(1)})`;
}
