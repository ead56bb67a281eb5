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
import centredKeysF16Code from "./centred_keys_f16.wgsl" with { type: "text" };
import centredKeysF32Code from "./centred_keys_f32.wgsl" with { type: "text" };
import lseOfCentreCode from "./lse_of_centre.wgsl" with { type: "text" };
import { paddedQuads } from "./subgroup_matrix_tile.ts";

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
export function centredKeys(plan: Plan, args: CentredKeysArgs): CentredKeys {
  const { headDim, params } = args;
  const { keys, kv_heads: kvHeads } = params;
  const centred = plan.scratch([keys, kvHeads * headDim], { label: "centred keys" });
  const centre = dispatch(plan, args, { label: "centred keys", code: [centredKeysCode, centredKeysF32Code], tensors: { centred } });
  return { k: centred, centre, params: { ...params, k_offset: 0, k_stride: kvHeads * headDim / 4 } };
}

/** Results of {@linkcode centredKeysInHalf}. */
export interface CentredKeysInHalf extends Pick<CentredKeys, "centre"> {
  /** Centred keys (KVH, C, hd filled up with zeros to a multiple of 16) f16. */
  readonly k: Tensor;
  /** Values, the same. */
  readonly v: Tensor;
}

/**
 * Records the keys less their centre, and values, head by head, for the kernel on subgroup matrices, which reads each of them again and again. Each
 * is rounded to f16, what is beyond its range as its largest numbers. R is at least 1.
 */
export function centredKeysInHalf(plan: Plan, args: CentredKeysArgs & { v: Tensor }): CentredKeysInHalf {
  const { v, headDim, params: { keys, kv_heads: kvHeads } } = args;
  const shape = [kvHeads, keys, 4 * paddedQuads(headDim)];
  const half = {
    k: plan.scratch(shape, { dtype: "f16", label: "keys in f16" }),
    v: plan.scratch(shape, { dtype: "f16", label: "values in f16" }),
  };
  const centre = dispatch(plan, args, {
    label: "centred f16 keys",
    code: ["enable f16;", centredKeysCode, centredKeysF16Code],
    tensors: { v, k_half: half.k, v_half: half.v },
    quads: paddedQuads(headDim),
  });
  return { ...half, centre };
}

/** Returns the centre (KVH, hd). */
function dispatch(
  plan: Plan,
  { k, ranges, headDim, params }: CentredKeysArgs,
  { label, code, tensors, quads = headDim / 4 }: { label: string; code: string[]; tensors: Record<string, Tensor>; quads?: number },
): Tensor {
  const { rows, keys, kv_heads: kvHeads, k_offset, k_stride, v_offset, v_stride } = params;
  const vectors = headDim / 4;
  const centre = plan.scratch([kvHeads, headDim], { label: "centre of keys" });
  const parts = Math.min(SAMPLE, Math.floor(WORKGROUP / vectors));
  const constants = { WORKGROUP, VECTORS: vectors, QUADS: quads, PARTS: parts, KEYS, SAMPLE };
  plan.dispatch({ label: `attention ${label} ${headDim}`, code, constants }, {
    tensors: { k, ranges, centre, ...tensors },
    params: { rows, keys, kv_heads: kvHeads, k_offset, k_stride, v_offset, v_stride },
    workgroups: [Math.ceil(keys / KEYS), kvHeads],
  });
  return centre;
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
