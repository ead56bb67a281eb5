/** Attention in f16 for GPUs without tensor cores: its dispatches. */
import type { Plan } from "../plan.ts";
import type { Tensor } from "../tensor.ts";
import { halfHeads } from "./half_heads.ts";
import { expectWorkgroupMemory } from "./operands.ts";
import { HALF_KEYS, HALF_ROWS, LONGEST_HEAD, tiledHalfBytes, tiledHalfForward } from "./tiled_half_wgsl.ts";

/** Checked operands as `attention` has them. */
export interface TiledHalfArgs {
  q: Tensor;
  k: Tensor;
  v: Tensor;
  ranges: Tensor;
  /** (R, H · hd) f32 */
  out: Tensor;
  headDim: number;
  /** Parameters of attention kernels. */
  params: Record<string, number>;
  label: string;
  flops: number;
}

/**
 * Records the rows of q, k and v in f16, and the attention among them.
 *
 * @throws {Error} when a head is too long
 */
export function recordTiledHalf(plan: Plan, { q, k, v, ranges, out, headDim, params, label, flops }: TiledHalfArgs): void {
  if (headDim > LONGEST_HEAD) {
    throw new Error(`attention: heads of ${headDim} numbers are too long for "tiled_half", which takes ${LONGEST_HEAD}`);
  }
  expectWorkgroupMemory(plan.gpu, tiledHalfBytes(headDim));
  const { rows, keys, heads, kv_heads: kvHeads } = params;
  const common = { headDim, tile: HALF_KEYS };
  const ofQ = halfHeads(plan, {
    ...common,
    x: q,
    rows,
    heads,
    offset: params.q_offset,
    stride: params.q_stride,
    tile: HALF_ROWS,
    across: true,
  });
  const ofK = halfHeads(plan, {
    ...common,
    x: k,
    rows: keys,
    heads: kvHeads,
    offset: params.k_offset,
    stride: params.k_stride,
    across: true,
  });
  const ofV = halfHeads(plan, {
    ...common,
    x: v,
    rows: keys,
    heads: kvHeads,
    offset: params.v_offset,
    stride: params.v_stride,
    across: false,
  });
  plan.dispatch({ label, code: tiledHalfForward(headDim) }, {
    tensors: {
      ...{ q: ofQ.half, k: ofK.half, v: ofV.half, ranges, y: out },
      ...{ q_scales: ofQ.scales, k_scales: ofK.scales, v_scales: ofV.scales },
    },
    params: { ...params, q_stride: ofQ.rows, k_stride: ofK.rows },
    workgroups: [Math.ceil(rows / HALF_ROWS), heads],
    flops,
  });
}
