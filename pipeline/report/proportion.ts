/** A part of a whole, with how sure it is. */
export interface Proportion {
  /** How many were right. */
  correct: number;
  /** Out of how many. */
  total: number;
  /** correct / total; 0 when there is nothing. */
  value: number;
  /** Wilson's 95 % interval: [low, high]. */
  interval: [low: number, high: number];
}

/** Two-sided 95 % quantile of the normal distribution. */
const Z = 1.959963984540054;

/**
 * A proportion with its 95 % score interval (Wilson 1927), which stays within 0 and 1 and is honest for few trials and for 0 or all right.
 *
 * @param correct Number of successes, at most `total`.
 * @param total Number of trials; with 0 the interval is [0, 1].
 *
 * @example
 * ```ts
 * import { assertAlmostEquals } from "@std/assert";
 * import { proportion } from "./proportion.ts";
 *
 * const { value, interval: [low, high] } = proportion(8, 10);
 * assertAlmostEquals(value, 0.8);
 * assertAlmostEquals(low, 0.4902, 1e-4);
 * assertAlmostEquals(high, 0.9433, 1e-4);
 * ```
 */
export function proportion(correct: number, total: number): Proportion {
  if (total === 0) return { correct, total, value: 0, interval: [0, 1] };
  const value = correct / total;
  const shrink = 1 + Z * Z / total;
  const center = (value + Z * Z / (2 * total)) / shrink;
  const reach = Z / shrink * Math.sqrt(value * (1 - value) / total + Z * Z / (4 * total * total));
  return { correct, total, value, interval: [correct === 0 ? 0 : center - reach, correct === total ? 1 : center + reach] };
}
