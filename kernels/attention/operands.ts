/** What forward and backward attention have in common: their operands, and the checks of them. */
import type { Gpu } from "../gpu.ts";
import type { MatrixPrimitives } from "../matrix_primitives.ts";
import type { SubgroupMatrixShape } from "../subgroup_matrix.ts";
import { expectShape, type Tensor } from "../tensor.ts";
import type { TileColumns } from "./tiled_wgsl.ts";

/**
 * Which kernels compute attention. `software`: for software adapters with 8 lanes to a subgroup. `tiled`: for GPUs. `tiled_half`: for GPUs, heads of
 * up to 96 numbers and factors rounded to f16; forward without `lse` only. `decode`: for GPUs and few queries; forward only. `subgroup_matrix`: for GPUs
 * whose tensor cores can be used, with factors rounded to f16.
 */
export type AttentionVariant = "software" | "tiled" | "tiled_half" | "decode" | "subgroup_matrix";

/** A kernel with its sizes. */
export interface AttentionKernel {
  /** Kind. */
  readonly variant: AttentionVariant;
  /** Columns of a tile of the variant `tiled`, forward; chosen by the adapter when left out. */
  readonly columns?: TileColumns;
  /** Subgroups of a workgroup of the variant `subgroup_matrix`, in the backward pass pairs of them; 4 when left out. */
  readonly subgroups?: number;
}

/** How the variant `subgroup_matrix` computes; left out, what the adapter has. */
export interface AttentionMatrices {
  /** Sizes of the matrices. */
  shape: SubgroupMatrixShape;
  /** Lanes of a subgroup. */
  lanes: number;
  /** Subgroups of a workgroup; in the backward pass pairs of them. */
  subgroups: number;
  /** How matrices are computed with. */
  primitives: MatrixPrimitives;
}

/** Queries, keys, values and their shape. Letters: R queries, C keys, H query heads, KVH key/value heads, hd numbers of a head. */
export interface AttentionOperands extends Omit<AttentionKernel, "variant"> {
  /** Queries (R, H · hd) f32, or wider rows of which `qOffset` and `qStride` pick that many. */
  q: Tensor;
  /** Keys (C, KVH · hd) f32, or wider rows. */
  k: Tensor;
  /** Values (C, KVH · hd) f32, or wider rows. May be the same tensor as `q` and `k`. */
  v: Tensor;
  /** Keys that a query sees (R, 2) u32: the first, and one after the last; an empty range sees nothing. See `key_ranges.ts`. */
  ranges: Tensor;
  /** H, a multiple of KVH: query head h uses the key/value head floor(h · KVH / H). */
  heads: number;
  /** KVH */
  kvHeads: number;
  /** hd: a multiple of 4 up to 256. */
  headDim: number;
  /** Factor of the scores, as a rule 1/sqrt(hd). */
  scale: number;
  /** First number of a row of q that is read, a multiple of 4; 0 when left out. */
  qOffset?: number;
  /** Numbers from row to row of q, a multiple of 4; the width of q when left out. */
  qStride?: number;
  /** As `qOffset`, of k. */
  kOffset?: number;
  /** As `qStride`, of k. */
  kStride?: number;
  /** As `qOffset`, of v. */
  vOffset?: number;
  /** As `qStride`, of v. */
  vStride?: number;
  /** Whether late queries see the most keys, as in a decoder. It changes no result, only which workgroups begin first; false when left out. */
  causal?: boolean;
  /** Which kernels; chosen by the adapter and R when left out. */
  variant?: AttentionVariant;
  /** How the variant `subgroup_matrix` computes. */
  matrices?: AttentionMatrices;
  /** Whether factors may be rounded to f16 where that is faster; f32 when left out. */
  precision?: "f32" | "f16";
}

/** Some columns of a tensor's rows, in numbers. */
export interface Columns {
  /** First number of a row. */
  offset: number;
  /** From row to row. */
  stride: number;
}

/** Checked operands. */
export interface CheckedOperands {
  /** R */
  readonly rows: number;
  /** C */
  readonly keys: number;
  /** Query heads to a key/value head. */
  readonly group: number;
  /** Operations of one product of rows and keys over all heads. */
  readonly flops: number;
  /** The members of the kernels' `params` that say where operands lie; the places of gradients are 0. */
  readonly params: Record<string, number>;
}

const MOST_HEAD_DIM = 256;
/**
 * Checks the operands and puts the kernels' parameters together.
 *
 * @throws {Error} when shapes do not fit together
 */
export function checkOperands(args: AttentionOperands): CheckedOperands {
  const { q, k, v, ranges, heads, kvHeads, headDim, scale } = args;
  for (const tensor of [q, k, v]) expectShape(tensor, [-1, -1]);
  expectShape(ranges, [-1, 2], "u32");
  if (!(Number.isInteger(headDim) && headDim >= 4 && headDim <= MOST_HEAD_DIM && headDim % 4 === 0)) {
    throw new Error(`attention: a head of ${headDim} numbers; expected a multiple of 4 from 4 to ${MOST_HEAD_DIM}`);
  }
  if (!(kvHeads >= 1 && heads % kvHeads === 0)) {
    throw new Error(`attention: ${heads} query heads cannot share ${kvHeads} key/value heads; expected a multiple`);
  }
  const rows = ranges.shape[0];
  const keys = k.shape[0];
  const places = {
    q: { offset: args.qOffset ?? 0, stride: args.qStride ?? q.shape[1] },
    k: { offset: args.kOffset ?? 0, stride: args.kStride ?? k.shape[1] },
    v: { offset: args.vOffset ?? 0, stride: args.vStride ?? v.shape[1] },
  };
  expectColumns(q, { rows, width: heads * headDim, ...places.q });
  expectColumns(k, { rows: keys, width: kvHeads * headDim, ...places.k });
  expectColumns(v, { rows: keys, width: kvHeads * headDim, ...places.v });
  return {
    rows,
    keys,
    group: heads / kvHeads,
    flops: 2 * rows * keys * heads * headDim,
    params: {
      rows,
      keys,
      heads,
      kv_heads: kvHeads,
      scale,
      q_offset: places.q.offset / 4,
      q_stride: places.q.stride / 4,
      k_offset: places.k.offset / 4,
      k_stride: places.k.stride / 4,
      v_offset: places.v.offset / 4,
      v_stride: places.v.stride / 4,
      dq_stride: 0,
      dk_offset: 0,
      dv_offset: 0,
      dkv_stride: 0,
    },
  };
}

/** Checks that `rows` slices of `width` numbers lie inside a tensor, apart from each other and at multiples of 4. */
function expectColumns(tensor: Tensor, slice: Columns & { rows: number; width: number }): void {
  const { rows, width, offset, stride } = slice;
  const end = rows ? offset + (rows - 1) * stride + width : 0;
  if (offset < 0 || offset % 4 || stride % 4 || (rows > 1 && stride < width) || end > tensor.size) {
    throw new Error(
      `attention: ${rows} rows of ${width} numbers from ${offset} on, ${stride} apart, do not fit into "${tensor.label}" (${
        tensor.shape.join(", ")
      }) at multiples of 4`,
    );
  }
}

/**
 * Checks that a workgroup may use that much memory.
 *
 * @throws {Error} when the adapter gives less
 */
export function expectWorkgroupMemory(gpu: Gpu, bytes: number): void {
  const limit = gpu.device.limits.maxComputeWorkgroupStorageSize;
  if (bytes > limit) {
    throw new Error(`attention needs ${bytes} bytes of workgroup memory; "${gpu.name}" gives ${limit}. Use another adapter.`);
  }
}
