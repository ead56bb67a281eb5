/** The tiled matrix product for GPUs: its dispatches. */
import type { Plan } from "../plan.ts";
import { halfRows, keepHalfRows } from "./half_rows.ts";
import { addParts } from "./part_sums.ts";
import type { ProductArgs } from "./product_args.ts";
import { type Form, NO_EPILOGUE } from "./product_wgsl.ts";
import { HALF_SUM, PRECISE_HALF_SUM, type ProductTile, tileDepth, tileProduct } from "./tile_product_wgsl.ts";

/** The largest number of a row lies between 2² and 2³: sums of 64 products in f16 then stay finite for weights up to ±128. */
const PEAK = 2;

/**
 * y = a · wᵀ or a · w.
 *
 * @param options the tile, and in how many parts the summed dimension is cut
 */
export function recordTileProduct(plan: Plan, form: Form, options: ProductArgs & { tile: ProductTile; splits?: number }): void {
  const { rows, columns, depth, dtype, epilogue, tensors, rowStride, firstColumn, tile, precise, splits = 1 } = options;
  const split = splits > 1;
  const asHalf = { x: tensors.a, rows, depth, tileDepth: tileDepth(tile), peak: PEAK };
  const half = tile.half ? halfRows(plan, asHalf) : undefined;
  const { bias: _bias, residual: _residual, y, ...factors } = tensors;
  const parts = split ? plan.scratch([splits * rows, columns], { label: "parts of a product" }) : y;
  const halfSum = precise ? PRECISE_HALF_SUM : HALF_SUM;
  const { label, code } = tileProduct(form, { dtype, epilogue: split ? NO_EPILOGUE : epilogue, tile, halfSum, split });
  plan.dispatch({ label, code }, {
    tensors: { ...(split ? factors : tensors), y: parts, ...(half && { a: half.half, row_scales: half.rowScales }) },
    params: { rows, columns, depth, row_stride: rowStride, first_column: firstColumn },
    workgroups: [Math.ceil(rows / tile.rows), Math.ceil(columns / tile.columns), splits],
    flops: 2 * rows * columns * depth,
  });
  if (split) addParts(plan, { ...options, parts, splits });
  if (half) keepHalfRows(plan, { ...asHalf, ...half });
}
