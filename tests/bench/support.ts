/** What the benchmarks share. */
import type { FloatWeightType } from "../../kernels/linear/weight_types.ts";
import type { LoadQwen2VlOptions } from "../../pipeline/load.ts";

/** What a benchmark is told. */
export interface BenchOptions {
  /** Checkpoint folder. */
  model: string;
  /** Data set with annotations. */
  data: string;
  /** Steps that are measured. */
  steps: number;
  /** Whether time by kernel is wanted. */
  profile: boolean;
  /** Number type of the weights on the GPU. */
  weights?: LoadQwen2VlOptions["weights"];
}

/** The middle of the sorted values. */
export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted.length ? (sorted[Math.floor((sorted.length - 1) / 2)] + sorted[Math.floor(sorted.length / 2)]) / 2 : NaN;
}

/** So many random numbers between ±0.5, drawn fast: the same million of them again and again, shifted by three from round to round. */
export function manyRandom(count: number): Float32Array<ArrayBuffer>;
/** The same in a number type of weights. */
export function manyRandom(count: number, dtype: FloatWeightType): Float32Array<ArrayBuffer> | Uint16Array<ArrayBuffer>;
export function manyRandom(count: number, dtype: FloatWeightType = "f32"): Float32Array<ArrayBuffer> | Uint16Array<ArrayBuffer> {
  const drawn = Float32Array.from({ length: Math.min(count, 2 ** 20 + 3) }, () => Math.random() - 0.5);
  const bits = new Uint32Array(drawn.buffer);
  const [part, values] = dtype === "f32" ? [drawn, new Float32Array(count)] : [
    dtype === "f16" ? new Uint16Array(new Float16Array(drawn).buffer) : Uint16Array.from(bits, (word) => word >>> 16),
    new Uint16Array(count),
  ];
  for (let at = 0; at < count; at += part.length) values.set(part.subarray(0, count - at), at);
  return values;
}
