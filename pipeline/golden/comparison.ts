/** Rows of a comparison: a case and a group of its values, the largest error, what is allowed, and the verdict. */

import type { WeightType } from "../../kernels/linear/weight_types.ts";

/** A row of the comparison. */
export interface GoldenRow {
  /** Case, as `vision_trace`. */
  case: string;
  /** Group of tensors or texts in it. */
  group: string;
  /** Number of values (tensors, texts) compared. */
  count: number;
  /** Largest relative error (norm of the difference over the norm), or the number of unequal values where equality is asked for. */
  error: number;
  /** What is allowed; 0 asks for equality. */
  tolerance: number;
  /** Verdict. */
  passed: boolean;
  /** The value with the largest error. */
  worst: string;
}

/** What may differ how much: forward values, gradients and trained parameters. */
export interface Tolerances {
  /** Forward values. */
  forward: number;
  /** Gradients, and parameters after training. */
  training: number;
  /** Whether generated tokens and texts must be equal. */
  exactAnswers: boolean;
}

/**
 * In f32 the order of additions alone differs. Weights rounded to 16 bits when they are loaded (only where the file holds f32) are off by up
 * to 2⁻⁸ (bf16) or 2⁻¹¹ (f16) of themselves, which adds up over the layers, and can turn the arg-max of a model with nearly equal logits.
 * Weights in groups of 128 with a scale each are off by 0.6 % (int8) or 9.5 % (int4) of their size, when they are spread normally: about
 * three times and fifty times as much as with bf16 (0.17 %).
 */
const TOLERANCES: Record<WeightType, Tolerances> = {
  f32: { forward: 1e-5, training: 1e-4, exactAnswers: true },
  f16: { forward: 5e-3, training: 5e-2, exactAnswers: false },
  bf16: { forward: 5e-2, training: 5e-1, exactAnswers: false },
  int8: { forward: 5e-2, training: 5e-1, exactAnswers: false },
  int4: { forward: 3e-1, training: 9e-1, exactAnswers: false },
};

/**
 * What may differ on an adapter.
 *
 * @param options weights: their number type; half: whether products round their factors to f16 and sum short stretches in it, which is off by
 * about 1e-3 of a product. AdamW divides small gradients by their own size, so trained values differ by far more.
 */
export function tolerancesFor({ weights, half }: { weights: WeightType; half: boolean }): Tolerances {
  const { forward, training, exactAnswers } = TOLERANCES[weights];
  return half
    ? { forward: Math.max(forward, 1e-2), training: Math.max(training, 3e-1), exactAnswers: false }
    : { forward, training, exactAnswers };
}

/** Gathers comparisons by case and group. */
export class Comparison {
  readonly #rows = new Map<string, GoldenRow>();

  /** Compares numbers by the norm of their difference over the norm of the expected ones. */
  close(
    place: { case: string; group: string; name: string },
    values: { actual: ArrayLike<number>; expected: ArrayLike<number>; tolerance: number },
  ): void {
    const { actual, expected, tolerance } = values;
    this.#add(place, { error: relativeError(actual, expected), tolerance });
  }

  /** Compares for equality: numbers one by one, texts, or lists of them. */
  equal(place: { case: string; group: string; name: string }, values: { actual: Comparable; expected: Comparable }): void {
    const [a, b] = [values.actual, values.expected];
    const same = typeof a === "string" || typeof b === "string" || typeof a === "number" || typeof b === "number"
      ? a === b
      : a.length === b.length && Array.from<unknown>(a).every((value, i) => value === b[i]);
    this.#add(place, { error: same ? 0 : 1, tolerance: 0 });
  }

  /** The rows so far, which are then forgotten. */
  take(): GoldenRow[] {
    const rows = [...this.#rows.values()];
    this.#rows.clear();
    return rows;
  }

  #add(place: { case: string; group: string; name: string }, result: { error: number; tolerance: number }): void {
    const key = `${place.case} ${place.group}`;
    const row = this.#rows.get(key) ??
      { case: place.case, group: place.group, count: 0, error: 0, tolerance: result.tolerance, passed: true, worst: "" };
    row.count++;
    if (result.tolerance === 0) row.error += result.error;
    else if (!(result.error <= row.error)) row.error = result.error;
    if (row.worst === "" || result.error >= row.error) row.worst = place.name;
    row.passed &&= result.error <= result.tolerance;
    this.#rows.set(key, row);
  }
}

type Comparable = string | number | ArrayLike<number> | ArrayLike<string>;

/** Norm of the difference over the norm of the expected values; infinite when something is not finite or the lengths differ. */
export function relativeError(actual: ArrayLike<number>, expected: ArrayLike<number>): number {
  if (actual.length !== expected.length) return Infinity;
  let difference = 0;
  let norm = 0;
  for (let i = 0; i < expected.length; i++) {
    difference += (actual[i] - expected[i]) ** 2;
    norm += expected[i] ** 2;
  }
  if (norm === 0) return difference === 0 ? 0 : Infinity;
  const error = Math.sqrt(difference / norm);
  return Number.isFinite(error) ? error : Infinity;
}
