/** Gathering and scattering rows in f64: the specification of the kernels. */

/** What the references take beside the numbers. */
export interface RowsReferenceOptions {
  /** Row of every t (T). */
  index: ArrayLike<number>;
  /** Numbers of a row (D). */
  columns: number;
  /** What the result holds before (T, D) or (N, D). */
  out: ArrayLike<number>;
  /** Index of the source's first row, 0 when left out. */
  first?: number;
}

/** out[t] = source[index[t] − first] where the source has that row; other rows stay. */
export function gatherRowsReference(source: ArrayLike<number>, options: RowsReferenceOptions): Float64Array {
  const { index, columns, first = 0 } = options;
  const out = Float64Array.from(options.out);
  for (let t = 0; t < index.length; t++) {
    const row = index[t] - first;
    if (row < 0 || row >= source.length / columns) continue;
    for (let i = 0; i < columns; i++) out[t * columns + i] = source[row * columns + i];
  }
  return out;
}

/** out[n] + the sum of dy[t] over t with index[t] = n. */
export function scatterAddRowsReference(dy: ArrayLike<number>, options: RowsReferenceOptions): Float64Array {
  const { index, columns } = options;
  const out = Float64Array.from(options.out);
  for (let t = 0; t < index.length; t++) {
    if (index[t] >= out.length / columns) continue;
    for (let i = 0; i < columns; i++) out[index[t] * columns + i] += dy[t * columns + i];
  }
  return out;
}
