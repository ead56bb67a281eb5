/** Which kernels compute attention: what was measured on the adapter where it was, otherwise a rule of thumb. */
import type { Gpu } from "../gpu.ts";
import { SUBGROUP_MATRICES } from "../matrix_primitives.ts";
import { largestMatrices } from "../subgroup_matrix.ts";
import type { AttentionKernel, AttentionMatrices } from "./operands.ts";
import { fitsAttention, SIDES, subgroupMatrixBackwardBytes, subgroupMatrixBytes } from "./subgroup_matrix_tile.ts";
import { LONGEST_HEAD, tiledHalfBytes } from "./tiled_half_layout.ts";
import { type TileColumns, tiledBytes } from "./tiled_wgsl.ts";

/**
 * With so few queries, splitting the keys among workgroups pays: a tile of 64 rows keeps one workgroup busy to a head, and reads the keys of all
 * sequences whose tokens are among its rows for each of them.
 */
const FEW_ROWS = 32;
/** Columns of a forward tile. */
const COLUMNS: readonly TileColumns[] = [64, 128];
/** Heads up to which a thread has registers for the scores of 128 columns. */
const LONGEST_HEAD_OF_MANY_COLUMNS = 128;
/** Subgroups of a workgroup on matrices: enough rows that share what is read of keys and values. */
const SUBGROUPS = 4;
/**
 * Others that may be faster: more, which keep a core busy where one workgroup alone finds room on it, and read keys and values half as often; and
 * fewer, for which there is room where these do not fit.
 */
const [MORE_SUBGROUPS, FEWER_SUBGROUPS] = [8, 2];

/** What the choice of kernels depends on. */
export interface AttentionShape {
  /** hd */
  headDim: number;
  /** Whether factors may be rounded. */
  precision?: "f32" | "f16";
  /** See `AttentionOperands`. */
  causal?: boolean;
}

/** The same for the forward pass. */
export interface ForwardShape extends AttentionShape {
  /** Whether the logarithms of the sums are wanted. */
  lse?: boolean;
}

/** What decides whether few queries have their keys split. */
export interface FewQueries {
  /** R */
  rows: number;
  /** Workgroup memory that the kernels for few queries need. */
  bytes: number;
  /** Bytes of what they hand over. */
  partBytes: number;
}

/** Whether the kernels for software adapters can run here. */
export function isSoftware(gpu: Gpu): boolean {
  return gpu.software && gpu.subgroupSize === 8;
}

/** The forward kernel for `rows` queries on this adapter. */
export function forwardKernel(gpu: Gpu, { rows, bytes, partBytes, ...shape }: ForwardShape & FewQueries): AttentionKernel {
  if (isSoftware(gpu)) return { variant: "software" };
  const most = gpu.device.limits.maxComputeWorkgroupStorageSize;
  if (rows <= FEW_ROWS && bytes <= most && partBytes <= gpu.maxBindingBytes) return { variant: "decode" };
  return measured(gpu, forwardKey(shape), forwardCandidates(gpu, shape));
}

/** The kernel of the backward pass on this adapter. */
export function backwardKernel(gpu: Gpu, shape: AttentionShape): AttentionKernel {
  return measured(gpu, backwardKey(shape), backwardCandidates(gpu, shape));
}

/** Every forward kernel for many queries that this adapter can run, the one that is taken without a measurement first. */
export function forwardCandidates(gpu: Gpu, { headDim, precision, lse }: ForwardShape): AttentionKernel[] {
  if (isSoftware(gpu)) return [{ variant: "software" }];
  const { maxComputeWorkgroupStorageSize, maxComputeInvocationsPerWorkgroup } = gpu.device.limits;
  const half = precision === "f16" && !lse && takesHalfTiles(gpu, headDim);
  const usual = forwardColumns(gpu, headDim);
  return aroundMatrices(gpu, {
    precision,
    fits: ({ subgroups, lanes }) =>
      subgroupMatrixBytes({ headDim, subgroups }) <= maxComputeWorkgroupStorageSize &&
      subgroups * lanes <= maxComputeInvocationsPerWorkgroup,
    others: [
      ...(half ? [{ variant: "tiled_half" as const }] : []),
      { variant: "tiled" },
      ...COLUMNS.filter((columns) => columns !== usual && tiledBytes(columns) <= maxComputeWorkgroupStorageSize).map((columns) => ({
        variant: "tiled" as const,
        columns,
      })),
    ],
  });
}

/** Every kernel of the backward pass, in the same order. */
export function backwardCandidates(gpu: Gpu, { headDim, precision }: AttentionShape): AttentionKernel[] {
  if (isSoftware(gpu)) return [{ variant: "software" }];
  const { maxComputeWorkgroupStorageSize, maxComputeInvocationsPerWorkgroup } = gpu.device.limits;
  return aroundMatrices(gpu, {
    precision,
    fits: ({ subgroups, lanes }) =>
      subgroupMatrixBackwardBytes({ headDim, subgroups }) <= maxComputeWorkgroupStorageSize &&
      SIDES * subgroups * lanes <= maxComputeInvocationsPerWorkgroup,
    others: [{ variant: "tiled" }],
  });
}

/** Kernels with those on matrices in their places, if there are any: the usual one first, the one of few rows, which is slower on an H200, last. */
function aroundMatrices(
  gpu: Gpu,
  options: { precision?: "f32" | "f16"; fits: (matrices: AttentionMatrices) => boolean; others: AttentionKernel[] },
): AttentionKernel[] {
  const { precision, fits, others } = options;
  const matrices = precision === "f16" ? attentionMatrices(gpu) : undefined;
  if (!matrices) return others;
  const by = (subgroups: number) => fits({ ...matrices, subgroups }) ? [{ variant: "subgroup_matrix" as const, subgroups }] : [];
  return [
    ...(fits(matrices) ? [{ variant: "subgroup_matrix" as const }] : []),
    ...by(MORE_SUBGROUPS),
    ...others,
    ...by(FEWER_SUBGROUPS),
  ];
}

/** What was measured to be the fastest, if it is among the kernels that are possible; otherwise the first of these. */
function measured(gpu: Gpu, key: string, possible: readonly AttentionKernel[]): AttentionKernel {
  const fastest = gpu.attentionKernels.get(key);
  return possible.find((kernel) => fastest && same(kernel, fastest)) ?? possible[0];
}

function same(a: AttentionKernel, b: AttentionKernel): boolean {
  return a.variant === b.variant && a.columns === b.columns && a.subgroups === b.subgroups;
}

/** Name of forward attention among what was measured. */
export function forwardKey({ lse, ...shape }: ForwardShape): string {
  return `forward ${shapeKey(shape)}${lse ? " lse" : ""}`;
}

/** Name of the backward pass. */
export function backwardKey(shape: AttentionShape): string {
  return `backward ${shapeKey(shape)}`;
}

function shapeKey({ headDim, precision = "f32", causal }: AttentionShape): string {
  return `${precision} ${headDim}${causal ? " causal" : ""}`;
}

/** Whether the kernel for tiles in f16 runs here: it hands numbers round among eight lanes of a subgroup. */
export function takesHalfTiles(gpu: Gpu, headDim: number): boolean {
  const fits = headDim <= LONGEST_HEAD && tiledHalfBytes(headDim) <= gpu.device.limits.maxComputeWorkgroupStorageSize;
  return fits && gpu.precision === "f16" && gpu.has("shader-f16") && gpu.subgroupSize >= 8;
}

/** The adapter's matrices, if attention can be computed by them and its factors may be rounded to f16. */
export function attentionMatrices(gpu: Gpu): AttentionMatrices | undefined {
  if (gpu.precision !== "f16" || !gpu.has("shader-f16") || gpu.subgroupSize === 0) return undefined;
  const shape = largestMatrices(gpu.subgroupMatrices.filter(fitsAttention));
  return shape && { shape, lanes: gpu.subgroupSize, subgroups: SUBGROUPS, primitives: SUBGROUP_MATRICES };
}

/**
 * How the variant `subgroup_matrix` computes, as asked for or as the adapter does.
 *
 * @throws {Error} when the adapter has no such matrices
 */
export function expectMatrices(
  gpu: Gpu,
  { matrices: asked, subgroups }: { matrices?: AttentionMatrices; subgroups?: number },
): AttentionMatrices {
  const matrices = asked ?? attentionMatrices(gpu);
  if (!matrices) throw new Error(`attention: "${gpu.name}" has no subgroup matrices; use the variant "tiled"`);
  return subgroups === undefined ? matrices : { ...matrices, subgroups };
}

/** Columns of a forward tile: many where the sums of a head leave registers for them. */
export function forwardColumns(gpu: Gpu, headDim: number): TileColumns {
  const fits = tiledBytes(128) <= gpu.device.limits.maxComputeWorkgroupStorageSize;
  return fits && headDim <= LONGEST_HEAD_OF_MANY_COLUMNS ? 128 : 64;
}
