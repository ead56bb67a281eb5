/** The matrix product on subgroup matrices (tensor cores): its dispatches. When it is taken: see `subgroup_matrix_choice.ts`. */
import { type MatrixPrimitives, SUBGROUP_MATRICES } from "../matrix_primitives.ts";
import type { Plan } from "../plan.ts";
import type { SubgroupMatrixShape } from "../subgroup_matrix.ts";
import { halfRows, keepHalfRows } from "./half_rows.ts";
import { mayLeaveHalf } from "./takes_half.ts";
import type { ProductArgs } from "./product_args.ts";
import { type Form, NO_EPILOGUE } from "./product_wgsl.ts";
import { addParts } from "./part_sums.ts";
import { matrixTile, shapeFor } from "./subgroup_matrix_choice.ts";
import { type MatrixTile, subgroupMatrixWgsl } from "./subgroup_matrix_wgsl.ts";
import { isQuantized } from "./weight_types.ts";

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
  const asHalf = { x: args.computed ?? tensors.a, rows, depth, tileDepth: tile.depth, peak: PEAK };
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
