/** Sums of parts of a row of numbers in f64: the specification of the kernel. */

/** Σ weights[i] · values[i] over i in [first, end) of each range. */
export function weightedSumsReference(
  values: ArrayLike<number>,
  options: { weights: ArrayLike<number>; ranges: ArrayLike<number> },
): Float64Array {
  const { weights, ranges } = options;
  return Float64Array.from({ length: ranges.length / 2 }, (_, s) => {
    let sum = 0;
    for (let i = ranges[2 * s]; i < ranges[2 * s + 1]; i++) sum += weights[i] * values[i];
    return sum;
  });
}
