/** Whether the probability of an answer says how often it is right (Guo et al., "On Calibration of Modern Neural Networks", 2017). */

/** Answers of similar probability. */
export interface CalibrationBin {
  /** Lowest and highest probability that belongs here. */
  range: [low: number, high: number];
  /** Answers in it. */
  count: number;
  /** Their mean probability. */
  confidence: number;
  /** Share of them that is right. */
  accuracy: number;
}

/** Result of {@linkcode calibration}. */
export interface Calibration {
  /** Answers. */
  total: number;
  /** Bins of equal width, from 0 to 1; empty ones left out. */
  bins: CalibrationBin[];
  /** Expected calibration error: mean distance of probability and accuracy over the bins, weighted with their answers. */
  ece: number;
  /** Mean probability of the answers. */
  confidence: number;
  /** Share of the most probable categories that are right. */
  accuracy: number;
}

/** The most probable category. */
export function mostProbable(scores: Readonly<Record<string, number>>): { category: string; probability: number } {
  const [category, probability] = Object.entries(scores).reduce((best, entry) => entry[1] > best[1] ? entry : best, ["", -1]);
  return { category, probability: Math.max(0, probability) };
}

/**
 * Compares the probability of the most probable category with how often it is right.
 *
 * @param rows labels and the categories' probabilities; rows without any are left out
 * @param options `bins`: how many; 10 when left out
 * @returns `undefined` when no row has probabilities
 *
 * @example
 * ```ts
 * import { assertAlmostEquals } from "@std/assert";
 * import { calibration } from "./calibration.ts";
 *
 * const rows = [{ label: "joy", scores: { joy: 0.9, fear: 0.1 } }, { label: "fear", scores: { joy: 0.9, fear: 0.1 } }];
 * assertAlmostEquals(calibration(rows)!.ece, 0.4);
 * ```
 */
export function calibration(
  rows: readonly { label: string; scores?: Readonly<Record<string, number>> }[],
  options: { bins?: number } = {},
): Calibration | undefined {
  const count = options.bins ?? 10;
  const answers = rows.flatMap(({ label, scores }) => {
    if (!scores || Object.keys(scores).length === 0) return [];
    const { category, probability } = mostProbable(scores);
    return [{ probability, right: category === label }];
  });
  if (answers.length === 0) return undefined;
  const summary = (part: typeof answers) => ({
    confidence: part.reduce((sum, { probability }) => sum + probability, 0) / part.length,
    accuracy: part.filter(({ right }) => right).length / part.length,
  });
  const grouped = Map.groupBy(answers, ({ probability }) => Math.min(count - 1, Math.floor(probability * count)));
  const bins = [...grouped].sort(([a], [b]) => a - b).map(([bin, part]): CalibrationBin => ({
    range: [bin / count, (bin + 1) / count],
    count: part.length,
    ...summary(part),
  }));
  const ece = bins.reduce((sum, bin) => sum + bin.count * Math.abs(bin.confidence - bin.accuracy), 0) / answers.length;
  return { total: answers.length, bins, ece, ...summary(answers) };
}
