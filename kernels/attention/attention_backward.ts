/** Gradients of grouped-query attention over key ranges, with the scores computed anew from `lse` (FlashAttention, arXiv:2205.14135). */
import { grid1d } from "../grid.ts";
import type { Plan } from "../plan.ts";
import { expectShape, type Tensor } from "../tensor.ts";
import keySumCode from "./key_sum.wgsl" with { type: "text" };
import { backwardKernel } from "./attention_choice.ts";
import { centredKeys } from "./centred_keys.ts";
import { type AttentionKernel, type AttentionOperands, checkOperands, expectWorkgroupMemory } from "./operands.ts";
import { softwareBackwardKey, softwareBackwardQuery, softwareShape } from "./software_wgsl.ts";
import { recordSubgroupMatrixBackward } from "./subgroup_matrix_backward.ts";
import { tileGroups } from "./text.ts";
import { BACKWARD_COLUMNS, tiledBackwardKey, tiledBackwardQuery } from "./tiled_backward_wgsl.ts";
import { TILE, tiledBytes } from "./tiled_wgsl.ts";

/** Arguments of {@linkcode attentionBackward}. Operands are those of the forward pass. */
export interface AttentionBackwardArgs extends AttentionOperands {
  /** Result of the forward pass (R, H · hd) f32. */
  out: Tensor;
  /** Its logarithms (R, H) f32. */
  lse: Tensor;
  /** Its centre, if it gave one: `lse` is then that of keys less this. */
  centre?: Tensor;
  /** Gradient of the result (R, H · hd) f32. */
  dout: Tensor;
  /** Queries that may see a key (C, 2) u32: the first, and one after the last. See `invertRanges` in `key_ranges.ts`. */
  keyRanges: Tensor;
}

/** Results of {@linkcode attentionBackward}: assigned, not added. */
export interface AttentionGradients {
  /** (R, H · hd) f32. */
  dq: Tensor;
  /** Gradients of keys and values side by side (C, 2 · KVH · hd) f32. */
  dkv: Tensor;
}

/**
 * Gradients with respect to queries, keys and values. Keys that no query sees and queries with an empty range get zeros.
 *
 * @throws {Error} when shapes do not fit together
 */
export function attentionBackward(plan: Plan, args: AttentionBackwardArgs): AttentionGradients {
  const { q, v, ranges, out, lse, dout, keyRanges, heads, kvHeads, headDim, causal = false } = args;
  const { rows, keys, group, params, flops } = checkOperands(args);
  expectShape(out, [rows, heads * headDim]);
  expectShape(dout, [rows, heads * headDim]);
  expectShape(lse, [rows, heads]);
  expectShape(keyRanges, [keys, 2], "u32");
  const [width, keyWidth] = [heads * headDim, kvHeads * headDim];
  const dq = plan.scratch([rows, width], { label: "attention dq" });
  const dkv = plan.scratch([keys, 2 * keyWidth], { label: "attention dk, dv" });
  const places = { dk_offset: 0, dv_offset: keyWidth / 4, dkv_stride: keyWidth / 2 };
  Object.assign(params, { dq_stride: width / 4, ...places });
  const kernel: AttentionKernel = args.variant ? { ...args, variant: args.variant } : backwardKernel(plan.gpu, args);
  const { variant } = kernel;
  if (variant !== "software" && variant !== "tiled" && variant !== "subgroup_matrix") {
    throw new Error(`attention: the variant "${variant}" has no backward pass; use "tiled"`);
  }
  if (rows === 0 || keys === 0) return { dq, dkv };
  // Keys that the logarithms are of. A row's gradients of scores add up to nothing, so that dq is the same with either.
  const centred = args.centre && variant !== "subgroup_matrix" ? centredKeys(plan, { ...args, params }) : undefined;
  const k = centred?.k ?? args.k;
  Object.assign(params, centred?.params);
  const withDelta = () => ({ q, k, v, ranges, dy: dout, lse, delta: plan.scratch([rows, heads], { label: "attention delta" }) });
  const label = (of: string) => `attention ${of} ${variant} ${headDim}`;
  if (variant === "software") {
    const shape = softwareShape(headDim, group);
    const tensors = withDelta();
    plan.dispatch({ label: label("dq"), code: softwareBackwardQuery(shape) }, {
      tensors: { ...tensors, y: out, dq },
      params,
      workgroups: [Math.ceil(rows * group / (8 * shape.items)), kvHeads],
      flops: 3 * flops,
    });
    plan.dispatch({ label: label("dkv"), code: softwareBackwardKey(shape) }, {
      tensors: { ...tensors, key_ranges: keyRanges, dkv },
      params,
      workgroups: [Math.ceil(keys / 8), kvHeads],
      flops: 4 * flops,
    });
    return { dq, dkv };
  }
  // A workgroup to every query head keeps the GPU busy; the heads of a group are added up afterwards.
  const half = group === 1 ? 0 : viewable(keys * heads * headDim);
  const parts = group === 1 ? dkv : plan.scratch([2 * half], { label: "attention dk, dv of heads" });
  const ofKeys = {
    tensors: { key_ranges: keyRanges, dkv: parts },
    params: group === 1 ? params : { ...params, dk_offset: 0, dv_offset: half / 4, dkv_stride: heads * headDim / 4 },
    flops: 4 * flops,
  };
  if (variant === "tiled") {
    expectWorkgroupMemory(plan.gpu, tiledBytes(BACKWARD_COLUMNS));
    const tensors = withDelta();
    plan.dispatch({ label: label("dq"), code: tiledBackwardQuery(headDim, { causal }) }, {
      tensors: { ...tensors, y: out, dq },
      params,
      workgroups: tileGroups({ rows, tile: TILE, heads, causal }),
      flops: 3 * flops,
    });
    plan.dispatch({ label: label("dkv"), code: tiledBackwardKey(headDim, { causal }) }, {
      ...ofKeys,
      tensors: { ...tensors, ...ofKeys.tensors },
      workgroups: tileGroups({ rows: keys, tile: TILE, heads, causal }),
    });
  } else {
    recordSubgroupMatrixBackward(plan, { ...args, subgroups: kernel.subgroups, params, flops, dq, ofKeys, label });
  }
  if (group > 1) {
    plan.dispatch({ label: "attention dkv sum", code: keySumCode, constants: { GROUP: group, VECTORS: headDim / 4 } }, {
      tensors: { parts, dkv },
      params: { keys, kv_heads: kvHeads, part_v_offset: half / 4, ...places },
      workgroups: [...grid1d(keys * kvHeads * headDim / 4, 64), 2],
    });
  }
  return { dq, dkv };
}

/** A count of numbers, rounded up so that a view may begin after them (a multiple of 256 bytes). */
function viewable(count: number): number {
  return Math.ceil(count / 64) * 64;
}
