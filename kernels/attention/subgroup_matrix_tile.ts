/** Sizes of attention on subgroup matrices: see `subgroup_matrix_wgsl.ts`. */
import type { SubgroupMatrixShape } from "../subgroup_matrix.ts";

/** Keys of a tile. */
export const KEYS = 32;
/** Rows of a subgroup. */
export const ROWS = 16;
/** Vectors between rows against bank conflicts. */
export const PADDING = 2;
/** Vectors of four from row to row of scores and of weights. */
export const STRIDE = KEYS / 4 + PADDING;

/** Whether matrices fit into the kernel's tiles. */
export function fitsAttention({ rows, columns, depth }: SubgroupMatrixShape): boolean {
  return [rows, columns, depth].every((n) => n > 0 && ROWS % n === 0);
}

/** Query rows of a workgroup. */
export function rowsOfWorkgroup(subgroups: number): number {
  return ROWS * subgroups;
}

/** Vectors of a row of a head, filled up to whole matrices. */
export const paddedQuads = (headDim: number): number => Math.ceil(headDim / 16) * 4;

/** Vectors of the tile that holds keys and values. */
export function tileVectors(headDim: number): number {
  return 2 * KEYS * (paddedQuads(headDim) + PADDING);
}

/** Flags of subgroups, filled up to whole 16 bytes. */
export const flagsOf = (subgroups: number): number => Math.ceil(subgroups / 4) * 4;

/** Workgroup memory in bytes. */
export function subgroupMatrixBytes({ headDim, subgroups }: { headDim: number; subgroups: number }): number {
  return tileVectors(headDim) * 8 + rowsOfWorkgroup(subgroups) * STRIDE * (8 + 16) + flagsOf(subgroups) * 4 + 32;
}

/** Subgroups that share rows in the backward pass. */
export const SIDES = 2;
/** Columns of a tile of the backward pass. */
export const BACKWARD_COLUMNS = 32;
/** Vectors of four from row to row of the backward pass's scores, and of its weights. */
export const SCORES_STRIDE = BACKWARD_COLUMNS / 4 + 1;
export const WEIGHTS_STRIDE = BACKWARD_COLUMNS / 4 + PADDING;

/** Vectors of a row of a head in the backward pass, filled up so that both halves are whole matrices. */
export const backwardQuads = (headDim: number): number => Math.ceil(headDim / 32) * 8;

/** Vectors of the backward pass's tile. */
export function backwardTile({ headDim, subgroups }: { headDim: number; subgroups: number }): number {
  const quads = backwardQuads(headDim);
  return SIDES * Math.max(rowsOfWorkgroup(subgroups) * quads / 2, BACKWARD_COLUMNS * (quads + PADDING));
}

/** Workgroup memory of the backward pass in bytes, that of keys, which needs more. */
export function subgroupMatrixBackwardBytes({ headDim, subgroups }: { headDim: number; subgroups: number }): number {
  const rows = rowsOfWorkgroup(subgroups);
  return backwardTile({ headDim, subgroups }) * 8 + SIDES * rows * (SCORES_STRIDE * 16 + WEIGHTS_STRIDE * 8) + 64;
}
