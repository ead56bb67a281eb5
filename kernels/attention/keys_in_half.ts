/** Keys and values as f16, head by head, for the kernel on subgroup matrices, which reads each of them again and again. */
import { grid1d } from "../grid.ts";
import type { Plan } from "../plan.ts";
import type { Tensor } from "../tensor.ts";
import flatCode from "../element/flat.wgsl" with { type: "text" };
import keysInHalfCode from "./keys_in_half.wgsl" with { type: "text" };
import { paddedQuads } from "./subgroup_matrix_tile.ts";

const WORKGROUP = 64;

/** Keys and values (C, KVH · hd) f32 as attention reads them. */
export interface KeysInHalfArgs {
  /** Keys. */
  k: Tensor;
  /** Values. */
  v: Tensor;
  /** hd, a multiple of 4 */
  headDim: number;
  /** Parameters of attention kernels. */
  params: Record<string, number>;
}

/**
 * Records keys and values as (KVH, C, hd filled up with zeros to a multiple of 16) f16, each rounded, what is beyond f16's range as its largest
 * numbers.
 */
export function keysInHalf(plan: Plan, { k, v, headDim, params }: KeysInHalfArgs): { k: Tensor; v: Tensor } {
  const { keys, kv_heads: kvHeads, k_offset, k_stride, v_offset, v_stride } = params;
  const quads = paddedQuads(headDim);
  const count = kvHeads * keys * quads / 2;
  const shape = [kvHeads, keys, 4 * quads];
  const half = {
    k: plan.scratch(shape, { dtype: "f16", label: "keys in f16" }),
    v: plan.scratch(shape, { dtype: "f16", label: "values in f16" }),
  };
  const constants = { WORKGROUP, VECTORS: headDim / 4, QUADS: quads };
  plan.dispatch({ label: `attention f16 keys ${headDim}`, code: [keysInHalfCode, flatCode], constants }, {
    tensors: { k, v, k_half: half.k, v_half: half.v },
    params: { count, keys, k_offset, k_stride, v_offset, v_stride },
    workgroups: grid1d(count, WORKGROUP),
  });
  return half;
}
