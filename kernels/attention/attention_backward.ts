/** Gradients of grouped-query attention over key ranges, with the scores computed anew from `lse` (FlashAttention, arXiv:2205.14135). */
import type { Plan } from "../plan.ts";
import { expectShape, type Tensor } from "../tensor.ts";
import { type AttentionOperands, checkOperands, isSoftware } from "./operands.ts";
import { softwareBackwardKey, softwareBackwardQuery } from "./software_wgsl.ts";

/** Arguments of {@linkcode attentionBackward}. Operands are those of the forward pass. */
export interface AttentionBackwardArgs extends AttentionOperands {
  /** Result of the forward pass (R, H · hd) f32. */
  out: Tensor;
  /** Its logarithms (R, H) f32. */
  lse: Tensor;
  /** Gradient of the result (R, H · hd) f32. */
  dout: Tensor;
  /** Queries that may see a key (C, 2) u32: the first, and one after the last. See `invertRanges` in `key_ranges.ts`. */
  keyRanges: Tensor;
  /** Where the gradients go side by side, as in a fused (R, (H + 2 KVH) · hd) row of q, k, v; only where R = C. */
  dqkv?: Tensor;
}

/** Results of {@linkcode attentionBackward}: assigned, not added. */
export interface AttentionGradients {
  /** (R, H · hd) f32. */
  dq: Tensor;
  /** (C, KVH · hd) f32. */
  dk: Tensor;
  /** (C, KVH · hd) f32. */
  dv: Tensor;
}

/** Software adapters: (row, head) pairs of one invocation. */
const SOFTWARE_ITEMS = 2;

/**
 * Gradients with respect to queries, keys and values. Keys that no query sees and queries with an empty range get zeros.
 *
 * @returns the gradients; with `dqkv` all three are that tensor
 * @throws {Error} when shapes do not fit together
 */
export function attentionBackward(plan: Plan, args: AttentionBackwardArgs): AttentionGradients {
  const { q, k, v, ranges, out, lse, dout, keyRanges, heads, kvHeads, headDim } = args;
  const { rows, keys, group, params } = checkOperands(args);
  expectShape(out, [rows, heads * headDim]);
  expectShape(dout, [rows, heads * headDim]);
  expectShape(lse, [rows, heads]);
  expectShape(keyRanges, [keys, 2], "u32");
  const { gradients, dkv, places } = gradientTensors(plan, { ...args, rows, keys });
  Object.assign(params, places);
  const delta = plan.scratch([rows, heads], { label: "attention delta" });
  const variant = args.variant ?? (isSoftware(plan.gpu) ? "software" : "tiled");
  if (variant === "software") {
    const shape = { headDim, group, items: SOFTWARE_ITEMS };
    plan.dispatch({ label: `attention dq software ${headDim}`, code: softwareBackwardQuery(shape) }, {
      tensors: { q, k, v, ranges, y: out, dy: dout, lse, delta, dq: gradients.dq },
      params,
      workgroups: [Math.ceil(rows * group / (8 * SOFTWARE_ITEMS)), kvHeads],
    });
    plan.dispatch({ label: `attention dkv software ${headDim}`, code: softwareBackwardKey(shape) }, {
      tensors: { q, k, v, ranges, key_ranges: keyRanges, dy: dout, lse, delta, dkv },
      params,
      workgroups: [Math.ceil(keys / 8), kvHeads],
    });
  }
  return gradients;
}

/** Tensors for the gradients and where in them rows begin, in vec4s. dk and dv share a storage, since one binding writes both. */
function gradientTensors(
  plan: Plan,
  args: AttentionBackwardArgs & { rows: number; keys: number },
): { gradients: AttentionGradients; dkv: Tensor; places: Record<string, number> } {
  const { rows, keys, heads, kvHeads, headDim, dqkv } = args;
  const width = heads * headDim;
  const kvWidth = kvHeads * headDim;
  if (dqkv) {
    if (rows !== keys) throw new Error(`attention: gradients side by side need as many queries (${rows}) as keys (${keys})`);
    expectShape(dqkv, [rows, width + 2 * kvWidth]);
    const stride = (width + 2 * kvWidth) / 4;
    const places = { dq_offset: 0, dq_stride: stride, dk_offset: width / 4, dv_offset: (width + kvWidth) / 4, dkv_stride: stride };
    return { gradients: { dq: dqkv, dk: dqkv, dv: dqkv }, dkv: dqkv, places };
  }
  const half = Math.ceil(keys * kvWidth / 64) * 64; // a view begins at a multiple of 256 bytes
  const dkv = plan.scratch([2 * half], { label: "attention dk, dv" });
  const gradients = {
    dq: plan.scratch([rows, width], { label: "attention dq" }),
    dk: dkv.view([keys, kvWidth]),
    dv: dkv.view([keys, kvWidth], 4 * half),
  };
  return { gradients, dkv, places: { dq_stride: width / 4, dk_offset: 0, dv_offset: half / 4, dkv_stride: kvWidth / 4 } };
}
