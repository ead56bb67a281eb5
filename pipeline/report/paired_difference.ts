/** Whether one of two models is better, from their answers to the same pictures. */
import { seededRandom } from "../data/random.ts";

/** Result of {@linkcode pairedDifference}. */
export interface PairedDifference {
  /** Pictures that both answered. */
  total: number;
  /** Right by the second alone. */
  gained: number;
  /** Right by the first alone. */
  lost: number;
  /** Accuracy of the second minus that of the first. */
  difference: number;
  /** Its 95 % interval: percentiles of paired bootstrap samples (Efron & Tibshirani 1993). */
  interval: [low: number, high: number];
  /** Two-sided p of the exact McNemar test: how likely so uneven a split is when both are equally good. */
  p: number;
}

/**
 * Compares two models by picture.
 *
 * @param first answers by picture, right or wrong
 * @param second likewise; pictures that one of them lacks are left out
 * @param options `samples` of the bootstrap (4000), `seed` (1)
 * @returns `undefined` when they have no picture in common
 *
 * @example
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { pairedDifference } from "./paired_difference.ts";
 *
 * const first = new Map([["a", true], ["b", false], ["c", false]]);
 * const second = new Map([["a", true], ["b", true], ["c", true]]);
 * const { gained, lost, p } = pairedDifference(first, second)!;
 * assertEquals([gained, lost, p], [2, 0, 0.5]);
 * ```
 */
export function pairedDifference(
  first: ReadonlyMap<string, boolean>,
  second: ReadonlyMap<string, boolean>,
  options: { samples?: number; seed?: number } = {},
): PairedDifference | undefined {
  const { samples = 4000, seed = 1 } = options;
  const steps = [...first].flatMap(([picture, right]) => {
    const other = second.get(picture);
    return other === undefined ? [] : [Number(other) - Number(right)];
  });
  const total = steps.length;
  if (total === 0) return undefined;
  const gained = steps.filter((step) => step > 0).length;
  const lost = steps.filter((step) => step < 0).length;
  const random = seededRandom(seed, "paired bootstrap");
  const means = new Float64Array(samples).map(() => {
    let sum = 0;
    for (let i = 0; i < total; i++) sum += steps[Math.floor(random.next() * total)];
    return sum / total;
  }).sort();
  const interval: [number, number] = [quantile(means, 0.025), quantile(means, 0.975)];
  return { total, gained, lost, difference: (gained - lost) / total, interval, p: exactMcNemar(gained, lost) };
}

/** Two-sided probability of a split at least as uneven as this one in fair coin flips. */
export function exactMcNemar(gained: number, lost: number): number {
  const flips = gained + lost;
  let term = -flips * Math.LN2; // logarithm of C(flips, 0) / 2^flips
  let tail = 0;
  for (let k = 0; k <= Math.min(gained, lost); k++) {
    tail += Math.exp(term);
    term += Math.log(flips - k) - Math.log(k + 1);
  }
  return Math.min(1, 2 * tail);
}

function quantile(sorted: Float64Array, share: number): number {
  const place = share * (sorted.length - 1);
  const below = Math.floor(place);
  return sorted[below] + (place - below) * (sorted[Math.min(below + 1, sorted.length - 1)] - sorted[below]);
}
