/** Which evaluations can be set side by side: those of the same model on the same pictures. */
import { resolve } from "@std/path";
import type { EvaluationPart } from "./run_folder.ts";

/** Evaluations of one model on the same pictures. */
export interface EvaluationGroup<T> {
  /** What tells the group from the others, such as "model weights/7b, 40 pictures of data/emoset"; empty when it is the only one. */
  label: string;
  /** In the order in which they came. */
  members: T[];
}

/**
 * Puts evaluations into groups of the same model and the same pictures: the same files with the same labels.
 *
 * @param part the evaluation of a member
 */
export function comparableGroups<T>(members: readonly T[], part: (member: T) => EvaluationPart): EvaluationGroup<T>[] {
  const groups = [...Map.groupBy(members, (member) => JSON.stringify([modelOf(part(member)), picturesKey(part(member))])).values()];
  const parts = groups.map(([first]) => part(first));
  const models = parts.map(modelOf);
  const pictures = parts.map(picturesText);
  const several = (values: readonly string[]) => new Set(values).size > 1;
  const labels = groups.map((_, i) => {
    const words = [...(several(models) ? [`model ${models[i]}`] : []), ...(several(parts.map(picturesKey)) ? [pictures[i]] : [])];
    return words.join(", ");
  });
  return groups.map((members, i) => {
    const same = labels.slice(0, i).filter((label) => label === labels[i]).length; // as many pictures of the same data, but not the same ones
    return { label: same ? `${labels[i]} (selection ${same + 1})` : labels[i], members };
  });
}

/** Whether two evaluations are of the same model. */
export function sameModel(first: EvaluationPart, second: EvaluationPart): boolean {
  return modelOf(first) === modelOf(second);
}

/** Answers by picture and label, right or wrong: the same key stands for the same question in every evaluation. */
export function rightAnswers({ report }: EvaluationPart): Map<string, boolean> {
  return new Map(report.predictions.map(({ image, label, correct }) => [`${resolve(image)} ${label}`, correct]));
}

/** The model's name as it was given. */
export function modelOf({ report, info }: EvaluationPart): string {
  return String(report.facts.model ?? info?.model ?? "unnamed");
}

function picturesKey(part: EvaluationPart): string {
  return [...rightAnswers(part).keys()].sort().join("\n");
}

function picturesText({ report: { facts, predictions } }: EvaluationPart): string {
  return `${predictions.length} pictures of ${facts.data ?? facts["data set"] ?? "unnamed data"}`;
}
