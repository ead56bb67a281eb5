/** Attention in f16 for GPUs without tensor cores: its dispatches. */
import type { Plan } from "../plan.ts";
import type { Tensor } from "../tensor.ts";
import { centredKeys } from "./centred_keys.ts";
import { halfHeads } from "./half_heads.ts";
import { expectWorkgroupMemory } from "./operands.ts";
import { tileGroups } from "./text.ts";
import { HALF_KEYS, HALF_ROWS, LONGEST_HEAD, tiledHalfBytes } from "./tiled_half_layout.ts";
import { tiledHalfForward, type TiledHalfOptions } from "./tiled_half_wgsl.ts";

/** Checked operands as `attention` has them. */
export interface TiledHalfArgs extends TiledHalfOptions {
  /** q, k, v and ranges as in `AttentionOperands` */
  q: Tensor;
  k: Tensor;
  v: Tensor;
  ranges: Tensor;
  /** (R, H · hd) f32 */
  out: Tensor;
  headDim: number;
  /** Parameters of attention kernels. */
  params: Record<string, number>;
  /** Name in profiles, and the operations there. */
  label: string;
  flops: number;
}

/**
 * Records the rows of q, k and v in f16, and the attention among them.
 *
 * @throws {Error} when a head is too long
 */
export function recordTiledHalf(plan: Plan, args: TiledHalfArgs): void {
  const { q, k, v, ranges, out, headDim, causal, params, label, flops } = args;
  if (headDim > LONGEST_HEAD) {
    throw new Error(`attention: heads of ${headDim} numbers are too long for "tiled_half", which takes ${LONGEST_HEAD}`);
  }
  expectWorkgroupMemory(plan.gpu, tiledHalfBytes(headDim));
  const { rows, keys, heads, kv_heads: kvHeads } = params;
  const centred = centredKeys(plan, { k, ranges, headDim, params });
  const inHalf = (name: "q" | "k" | "v", own: { x: Tensor; rows: number; heads: number; tile: number; across: boolean }) =>
    halfHeads(plan, { ...own, headDim, offset: centred.params[`${name}_offset`], stride: centred.params[`${name}_stride`] });
  const ofQ = inHalf("q", { x: q, rows, heads, tile: HALF_ROWS, across: true });
  const ofK = inHalf("k", { x: centred.k, rows: keys, heads: kvHeads, tile: HALF_KEYS, across: true });
  const ofV = inHalf("v", { x: v, rows: keys, heads: kvHeads, tile: HALF_KEYS, across: false });
  plan.dispatch({ label, code: tiledHalfForward(headDim, { causal }) }, {
    tensors: {
      ...{ q: ofQ.half, k: ofK.half, v: ofV.half, ranges, y: out },
      ...{ q_scales: ofQ.scales, k_scales: ofK.scales, v_scales: ofV.scales },
    },
    params: { ...params, q_stride: ofQ.rows, k_stride: ofK.rows },
    workgroups: tileGroups({ rows, tile: HALF_ROWS, heads, causal }),
    flops,
  });
}
