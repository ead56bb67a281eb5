/** The matrix product on subgroup matrices (tensor cores): when it is taken, and its dispatches. */
import type { Gpu } from "../gpu.ts";
import { type MatrixPrimitives, SUBGROUP_MATRICES } from "../matrix_primitives.ts";
import type { Plan } from "../plan.ts";
import { largestMatrices, type SubgroupMatrixShape } from "../subgroup_matrix.ts";
import { halfRows, keepHalfRows } from "./half_rows.ts";
import { mayLeaveHalf, takesHalf } from "./takes_half.ts";
import type { ProductArgs } from "./product_args.ts";
import { type Form, NO_EPILOGUE } from "./product_wgsl.ts";
import { addParts } from "./part_sums.ts";
import { type MatrixTile, subgroupMatrixBytes, subgroupMatrixWgsl, subgroupsOf } from "./subgroup_matrix_wgsl.ts";
import { isQuantized, type WeightType } from "./weight_types.ts";

/** Arguments of {@linkcode subgroupMatrixProduct}. */
export interface SubgroupMatrixProductArgs extends ProductArgs {
  /** The matrices to compute with; the adapter's when left out. */
  shape?: SubgroupMatrixShape;
  /** Tile of a workgroup; chosen by the product's size when left out. */
  tile?: MatrixTile;
  /** Parts of the summed dimension, computed side by side and added; chosen with the tile, and 1 where a tile is given. */
  splits?: number;
  /** Lanes of a subgroup; the adapter's when left out. */
  lanes?: number;
  /** How matrices are computed with; {@linkcode SUBGROUP_MATRICES} when left out. */
  primitives?: MatrixPrimitives;
}

/** Sums are f32, so that the largest number of a row may use all of f16's range but the last factor of 2. */
const PEAK = 14;

/** For products of many tiles: the fewest reads for a multiplication. An H200 multiplies at 220 to 240 TFLOP/s with it. */
const LARGE_TILE: MatrixTile = { rows: 128, columns: 128, depth: 64, down: 4, across: 2 };
/** For others: 125 to 150 TFLOP/s there. */
export const SMALL_TILE: MatrixTile = { rows: 64, columns: 128, depth: 32, down: 2, across: 2 };
/** Others that may be faster elsewhere. */
export const TILES: readonly MatrixTile[] = [
  LARGE_TILE,
  SMALL_TILE,
  { ...SMALL_TILE, columns: 64, depth: 64 },
  { ...LARGE_TILE, depth: 32, down: 2 },
  { ...LARGE_TILE, depth: 32 },
  { ...LARGE_TILE, depth: 32, buffers: 2 },
  { ...LARGE_TILE, depth: 32, down: 2, buffers: 2 },
  { ...LARGE_TILE, rows: 256, depth: 32 },
  { ...LARGE_TILE, columns: 256, depth: 32, down: 2, across: 4 },
  { ...LARGE_TILE, rows: 256, depth: 32, across: 4 },
  { ...LARGE_TILE, rows: 256, depth: 32, down: 8, across: 2 },
  { ...LARGE_TILE, columns: 256, depth: 32, across: 4 },
  { ...LARGE_TILE, across: 4 },
  { ...LARGE_TILE, down: 2 },
  { ...SMALL_TILE, depth: 64 },
  { ...LARGE_TILE, columns: 64, across: 1 },
  { ...LARGE_TILE, depth: 32, across: 4, buffers: 2 },
  { ...LARGE_TILE, hoist: true },
  { ...LARGE_TILE, rows: 256, depth: 32, across: 4, hoist: true },
  { ...LARGE_TILE, depth: 32, down: 2, hoist: true },
];
/** Workgroups of the large tile that keep a large GPU busy, one or two to a core, and of small ones. */
const BUSY = { large: 200, small: 132 };
/** Numbers of the summed dimension that a part has at least. */
const LEAST_DEPTH = 512;

/** Whether products with these weights are computed by subgroup matrices. Only where factors may be rounded to f16. */
export function takesSubgroupMatrices(gpu: Gpu, product: { dtype: WeightType; precision?: "f32" | "f16" }): boolean {
  return takesHalf(gpu, product) && gpu.subgroupSize > 0 && shapeFor(gpu, SMALL_TILE) !== undefined;
}

/** The adapter's largest matrices that fit into a tile. */
function shapeFor(gpu: Gpu, tile: MatrixTile): SubgroupMatrixShape | undefined {
  const { down, across } = subgroupsOf(tile);
  return largestMatrices(
    gpu.subgroupMatrices.filter(({ rows, columns, depth }) =>
      tile.rows % (down * rows) === 0 && tile.columns % (across * columns) === 0 && tile.depth % depth === 0
    ),
  );
}

/** The tiles that the adapter has the matrices, the workgroup memory and the invocations for. */
export function matrixTiles(gpu: Gpu, form: Form): MatrixTile[] {
  const { maxComputeWorkgroupStorageSize: bytes, maxComputeInvocationsPerWorkgroup: invocations } = gpu.device.limits;
  return TILES.filter((tile) => {
    const shape = shapeFor(gpu, tile);
    const { down, across } = subgroupsOf(tile);
    return shape && subgroupMatrixBytes(form, { tile, shape }) <= bytes && down * across * gpu.subgroupSize <= invocations;
  });
}

/** The tile for a product, and in how many parts its summed dimension is cut: the large one if its workgroups keep a large GPU busy. */
export function matrixTile(
  gpu: Gpu,
  form: Form,
  { rows, columns, depth }: { rows: number; columns: number; depth: number },
): { matrixTile: MatrixTile; splits: number } {
  const workgroups = (tile: MatrixTile) => Math.ceil(rows / tile.rows) * Math.ceil(columns / tile.columns);
  if (workgroups(LARGE_TILE) >= BUSY.large && matrixTiles(gpu, form).includes(LARGE_TILE)) return { matrixTile: LARGE_TILE, splits: 1 };
  const splits = Math.min(8, Math.floor(BUSY.small / workgroups(SMALL_TILE)), Math.floor(depth / LEAST_DEPTH));
  return { matrixTile: SMALL_TILE, splits: Math.max(1, splits) };
}

/**
 * y = a · wᵀ or a · w with both factors rounded to f16 (relative error 2⁻¹¹ each at most, for a above 2⁻²⁹ of its row's largest number) and
 * sums in f32. Weights below 2⁻¹⁴ lose up to 2⁻²⁵; those beyond ±65504 are taken as ±65504.
 *
 * @throws {Error} when the adapter has no subgroup matrices
 */
export function subgroupMatrixProduct(plan: Plan, form: Form, args: SubgroupMatrixProductArgs): void {
  const { rows, columns, depth, dtype, epilogue, tensors, largest, primitives = SUBGROUP_MATRICES } = args;
  const { gpu } = plan;
  const { matrixTile: tile, splits = 1 } = args.tile ? { matrixTile: args.tile, splits: args.splits } : matrixTile(gpu, form, args);
  const shape = args.shape ?? shapeFor(gpu, tile);
  if (!shape) throw new Error(`"${gpu.name}" has no subgroup matrices; use another variant of the product`);
  const asHalf = { x: tensors.a, rows, depth, tileDepth: tile.depth, peak: PEAK };
  const { half, rowScales } = halfRows(plan, asHalf);
  const lanes = args.lanes ?? gpu.subgroupSize;
  const split = splits > 1;
  const wide = !isQuantized(dtype) && (form === "rows" ? depth : columns) % 8 === 0;
  const bounded = mayLeaveHalf(largest);
  const parts = split ? plan.scratch([splits * rows, columns], { label: "parts of a product" }) : tensors.y;
  const { bias: _bias, residual: _residual, ...factors } = tensors;
  const options = { dtype, epilogue: split ? NO_EPILOGUE : epilogue, shape, lanes, tile, bounded, wide, split, primitives };
  const { label, code } = subgroupMatrixWgsl(form, options);
  plan.dispatch({ label, code }, {
    tensors: { ...(split ? factors : tensors), y: parts, a: half, row_scales: rowScales },
    params: { rows, columns, depth, row_stride: args.rowStride, first_column: args.firstColumn },
    // neighbours share their weights: rows first
    workgroups: [Math.ceil(rows / tile.rows), Math.ceil(columns / tile.columns), splits],
    flops: 2 * rows * columns * depth,
  });
  if (split) addParts(plan, { ...args, parts, splits });
  keepHalfRows(plan, { ...asHalf, half, rowScales });
}
