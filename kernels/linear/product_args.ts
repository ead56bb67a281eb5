/** A matrix product as its kernels take it. Letters and forms as in `product_wgsl.ts`. */
import type { Tensor } from "../tensor.ts";
import type { ComputedRows } from "./computed_rows.ts";
import type { Epilogue } from "./product_wgsl.ts";
import type { WeightType } from "./weight_types.ts";

/** M rows, N columns, K depth. */
export interface ProductArgs {
  /** M */
  rows: number;
  /** N; in the form `columns` a multiple of 4 */
  columns: number;
  /** K, a multiple of 4 */
  depth: number;
  /** `a` (M, K) f32, weights `w` (and `scales`), the result `y`, and what the epilogue adds: `bias`, `residual` */
  tensors: Readonly<Record<string, Tensor>>;
  /** What `a` is computed from, for kernels that compute it themselves: there is no `a` then. */
  computed?: ComputedRows;
  /** Number type of the weights. */
  dtype: WeightType;
  /** Largest magnitude of a weight, where it is known. */
  largest?: number;
  /** `f32` where factors must not be rounded to f16; the device's precision when left out. */
  precision?: "f32" | "f16";
  /** Whether sums in f16, where there are any, are short. */
  precise?: boolean;
  /** What is added. */
  epilogue: Epilogue;
  /** Numbers from row to row of `y`. */
  rowStride: number;
  /** Column of `y` that the first one goes to. */
  firstColumn: number;
}
