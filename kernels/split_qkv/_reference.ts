/** Queries, keys and values taken apart, in f64: the specification of the kernels. */
import { rotaryReference, type RotaryReferenceOptions } from "../rotary/_reference.ts";

/** Options of {@linkcode splitQkvReference}. */
export interface SplitQkvReferenceOptions extends RotaryReferenceOptions {
  /** Key heads, and value heads. */
  kvHeads: number;
  /** Row of the keys and values for each row; rows beyond `kv` have none. */
  index: ArrayLike<number>;
  /** What keys and values are written over (C, 2 · kvHeads · headDim). */
  kv: ArrayLike<number>;
}

/** Turned queries (T, heads · headDim), and `kv` with turned keys beside values in the rows that `index` names. */
export function splitQkvReference(qkv: ArrayLike<number>, options: SplitQkvReferenceOptions): { q: Float64Array; kv: Float64Array } {
  const { heads, kvHeads, axes, index } = options;
  const headDim = 2 * axes.length;
  const rows = index.length;
  const columns = (first: number, count: number) =>
    Float64Array.from({ length: rows * count }, (_, i) => qkv[Math.floor(i / count) * (heads + 2 * kvHeads) * headDim + first + i % count]);
  const width = kvHeads * headDim;
  const k = rotaryReference(columns(heads * headDim, width), { ...options, heads: kvHeads });
  const v = columns(heads * headDim + width, width);
  const kv = Float64Array.from(options.kv);
  for (let row = 0; row < rows; row++) {
    if ((index[row] + 1) * 2 * width > kv.length) continue;
    kv.set(k.subarray(row * width, (row + 1) * width), index[row] * 2 * width);
    kv.set(v.subarray(row * width, (row + 1) * width), index[row] * 2 * width + width);
  }
  return { q: rotaryReference(columns(0, heads * headDim), options), kv };
}

/** Gradient of `qkv`: those of queries and keys turned back, those of values as they are, 0 where a row has no keys and values. */
export function splitQkvBackwardReference(
  { dq, dkv }: { dq: ArrayLike<number>; dkv: ArrayLike<number> },
  options: Omit<SplitQkvReferenceOptions, "kv">,
): Float64Array {
  const { heads, kvHeads, axes, index, angle } = options;
  const [all, queries, width] = [heads + 2 * kvHeads, heads, kvHeads].map((count) => count * 2 * axes.length);
  const back = { ...options, angle: (position: number, pair: number) => -angle(position, pair) };
  const q = rotaryReference(dq, back);
  const of = (row: number, first: number) =>
    Array.from({ length: width }, (_, i) => (index[row] + 1) * 2 * width > dkv.length ? 0 : dkv[index[row] * 2 * width + first + i]);
  const rows = Array.from(index, (_, row) => row);
  const k = rotaryReference(rows.flatMap((row) => of(row, 0)), { ...back, heads: kvHeads });
  const dqkv = new Float64Array(index.length * all);
  for (const row of rows) {
    dqkv.set(q.subarray(row * queries, (row + 1) * queries), row * all);
    dqkv.set(k.subarray(row * width, (row + 1) * width), row * all + queries);
    dqkv.set(of(row, width), row * all + queries + width);
  }
  return dqkv;
}
