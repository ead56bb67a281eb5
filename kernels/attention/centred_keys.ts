/**
 * Keys less their centre, for kernels that round them to f16. Models may have biases on keys that are many times larger than what differs from key to
 * key, and f16's eleven bits would go to what all have in common. Without it the scores of a row with all keys change by the same amount, q · centre,
 * which softmax ignores ("smooth K" of SageAttention, Zhang et al. 2024, arXiv:2410.02367).
 */
import { grid1d } from "../grid.ts";
import type { Plan } from "../plan.ts";
import type { Tensor } from "../tensor.ts";
import flatCode from "../element/flat.wgsl" with { type: "text" };
import centredKeysCode from "./centred_keys.wgsl" with { type: "text" };
import lseOfCentreCode from "./lse_of_centre.wgsl" with { type: "text" };

/** Invocations of a workgroup, and keys that it owns. */
const [WORKGROUP, KEYS] = [256, 64];
/** Keys whose mean the centre is: enough to find what all have in common. */
export const SAMPLE = 64;
/** Invocations of a workgroup of `lse_of_centre.wgsl`. */
const LSE_WORKGROUP = 64;

/** Attention's operands that keys are centred for. */
export interface CentredKeysArgs {
  /** (C, KVH · hd) f32, or wider */
  k: Tensor;
  /** (R, 2) u32 as in `AttentionOperands`: only keys that are seen count. */
  ranges: Tensor;
  /** hd */
  headDim: number;
  /** Parameters of attention kernels. */
  params: Record<string, number>;
}

/** Results of {@linkcode centredKeys}. */
export interface CentredKeys {
  /** (C, KVH · hd) f32 */
  readonly k: Tensor;
  /** (KVH, hd) f32: what was subtracted, the mean of up to {@linkcode SAMPLE} keys, of those that are finite. */
  readonly centre: Tensor;
  /** Parameters of attention kernels for these keys. */
  readonly params: Record<string, number>;
}

/** Records the keys less their centre. R is at least 1. */
export function centredKeys(plan: Plan, { k, ranges, headDim, params }: CentredKeysArgs): CentredKeys {
  const { rows, keys, kv_heads: kvHeads, k_offset, k_stride } = params;
  const vectors = headDim / 4;
  const centred = plan.scratch([keys, kvHeads * headDim], { label: "centred keys" });
  const centre = plan.scratch([kvHeads, headDim], { label: "centre of keys" });
  const constants = { WORKGROUP, VECTORS: vectors, PARTS: Math.min(SAMPLE, Math.floor(WORKGROUP / vectors)), KEYS, SAMPLE };
  plan.dispatch({ label: `attention centred keys ${headDim}`, code: centredKeysCode, constants }, {
    tensors: { k, ranges, centred, centre },
    params: { rows, keys, kv_heads: kvHeads, k_offset, k_stride },
    workgroups: [Math.ceil(keys / KEYS), kvHeads],
  });
  return { k: centred, centre, params: { ...params, k_offset: 0, k_stride: kvHeads * vectors } };
}

/** Arguments of {@linkcode lseOfCentre}. */
export interface LseOfCentreArgs extends Omit<CentredKeysArgs, "k"> {
  /** (R, H · hd) f32, or wider */
  q: Tensor;
  /** Of {@linkcode centredKeys}. */
  centre: Tensor;
  /** (R, H) f32 */
  lse: Tensor;
  /** (R, H) f32, takes the result; must not be `lse` */
  shifted: Tensor;
  /** `add`: lse is that of centred keys, shifted that of the keys as they are. `subtract`: the other way round. */
  direction: "add" | "subtract";
}

/** Records the logarithms of the sums of exponentials, those of centred keys from those of the keys as they are or the other way round. */
export function lseOfCentre(plan: Plan, { q, centre, ranges, lse, shifted, headDim, params, direction }: LseOfCentreArgs): void {
  const { rows, heads, kv_heads, q_offset, q_stride, scale } = params;
  const constants = { WORKGROUP: LSE_WORKGROUP, VECTORS: headDim / 4 };
  plan.dispatch({ label: `attention lse of centre ${headDim}`, code: [lseOfCentreCode, flatCode], constants }, {
    tensors: { q, centre, ranges, lse, shifted },
    params: { count: rows * heads, heads, kv_heads, q_offset, q_stride, factor: direction === "add" ? scale : -scale },
    workgroups: grid1d(rows * heads, LSE_WORKGROUP),
  });
}
