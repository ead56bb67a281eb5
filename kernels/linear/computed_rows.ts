/**
 * Activations of a product that are computed from other tensors. Where a product rounds its activations to f16, they are computed on the way there
 * and never written in f32, and norms of few rows are computed in their products; elsewhere they become a tensor first.
 * Letters: M rows, K their length.
 */
import type { Plan } from "../plan.ts";
import { Tensor } from "../tensor.ts";

/** See the module's text. */
export interface ComputedRows {
  /** Name in profiles. */
  readonly label: string;
  /** (M, K) */
  readonly shape: readonly [rows: number, columns: number];
  /** Parts of equal length that a row consists of, whose numbers at the same place are computed together. */
  readonly parts: 1 | 2;
  /**
   * Statistics that a row's numbers depend on: the mean of their squares, or the mean and the variance. What `compute` gives then goes through
   * `fn finish(value: vec4<f32>, quad: u32, mean: f32, squares: f32) -> vec4<f32>`, the mean being 0 where only the squares count; one part only.
   * With the squares alone that is the product of `fn weighed(value: vec4<f32>, quad: u32) -> vec4<f32>` and `fn row_factor(squares: f32) -> f32`.
   */
  readonly statistics?: "squares" | "variance";
  /** What is read, by the names of its bindings. */
  readonly tensors: Readonly<Record<string, Tensor>>;
  /**
   * WGSL: bindings 0 and from 8 on, and `fn compute(row: u32, quad: u32) -> array<vec4<f32>, PARTS>`, the four numbers from 4 · quad on of every
   * part of a row. `params.quads` is K / 4.
   */
  readonly code: string;
  /** Records them as a tensor (M, K) f32. */
  record(plan: Plan): Tensor;
}

/** What was recorded as a tensor, and where. */
const recorded = new WeakMap<ComputedRows, { plan: Plan; tensor: Tensor }>();

/** Activations as a tensor; those of several products of a plan are computed once, so what they are computed from must stay as it is. */
export function asTensor(plan: Plan, x: Tensor | ComputedRows): Tensor {
  if (x instanceof Tensor) return x;
  const known = recorded.get(x);
  if (known?.plan === plan) return known.tensor;
  const tensor = x.record(plan);
  recorded.set(x, { plan, tensor });
  return tensor;
}
