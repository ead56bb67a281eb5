/** How often the aspects in words say what the annotation says. */
import type { ReportedPrediction } from "./evaluation_report.ts";
import { type Proportion, proportion } from "./proportion.ts";

/** Whether an answer in words is the label: the same text but for white space around it and upper case. */
export function sameWords(answer: string, label: string): boolean {
  return answer.trim().toLowerCase() === label.trim().toLowerCase();
}

/**
 * Right answers of each view, among the pictures whose annotation knows it.
 *
 * @param predictions with or without aspects in words
 * @returns by view, in the order of the answers; empty when there are none
 */
export function aspectResults(predictions: readonly ReportedPrediction[]): Map<string, Proportion> {
  const counts = new Map<string, [correct: number, total: number]>();
  for (const { aspects = {}, aspectLabels = {} } of predictions) {
    for (const [view, answer] of Object.entries(aspects)) {
      if (!Object.hasOwn(aspectLabels, view)) continue;
      const count = counts.get(view) ?? [0, 0];
      counts.set(view, [count[0] + Number(sameWords(answer, aspectLabels[view])), count[1] + 1]);
    }
  }
  const views = [...new Set(predictions.flatMap(({ aspects }) => Object.keys(aspects ?? {})))];
  return new Map(views.flatMap((view) => counts.has(view) ? [[view, proportion(...counts.get(view)!)]] : []));
}
