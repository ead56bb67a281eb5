/** The tiled matrix product for GPUs: its dispatches. */
import type { Plan } from "../plan.ts";
import { halfRows, keepHalfRows } from "./half_rows.ts";
import { addParts } from "./part_sums.ts";
import type { ProductArgs } from "./product_args.ts";
import { type Form, NO_EPILOGUE } from "./product_wgsl.ts";
import { LARGEST_HALF, mayLeaveHalf } from "./takes_half.ts";
import { HALF_SUM, PRECISE_HALF_SUM, type ProductTile, tileDepth, tileProduct } from "./tile_product_wgsl.ts";

/** The largest number of a row of activations lies between 2² and 2³, where weights are as small as they are in most models. */
const PEAK = 2;

/**
 * The peak p of a row's activations, whose largest number then lies in [2ᵖ, 2ᵖ⁺¹), with which no sum in f16 leaves f16's range: |x| · |w| is below
 * 2ᵖ⁺¹ · largest, so that `summed` products stay finite while 2ᵖ⁺¹ · largest · summed ≤ 65504. That is so with p = 2 for weights up to ±127 and
 * sums of 64; with larger weights p is smaller, and activations below 2⁻¹⁴⁻ᵖ of their row's largest lose digits.
 *
 * @param largest magnitude of the matrix's largest weight; taken as one that needs no care where it was not measured
 * @param summed products that are added in f16
 */
export function halfPeak(largest: number | undefined, summed: number): number {
  if (largest === undefined || largest * summed <= LARGEST_HALF / 2 ** (PEAK + 1)) return PEAK;
  const bounded = largest <= LARGEST_HALF ? largest : LARGEST_HALF; // as weights are; also what is no number
  return Math.floor(Math.log2(LARGEST_HALF / (bounded * summed))) - 1;
}

/**
 * y = a · wᵀ or a · w.
 *
 * @param options the tile, and in how many parts the summed dimension is cut
 */
export function recordTileProduct(plan: Plan, form: Form, options: ProductArgs & { tile: ProductTile; splits?: number }): void {
  const { rows, columns, depth, dtype, epilogue, tensors, rowStride, firstColumn, tile, precise, largest, splits = 1 } = options;
  const split = splits > 1;
  const halfSum = precise ? PRECISE_HALF_SUM : HALF_SUM;
  const asHalf = { x: options.computed ?? tensors.a, rows, depth, tileDepth: tileDepth(tile), peak: halfPeak(largest, halfSum) };
  const half = tile.half ? halfRows(plan, asHalf) : undefined;
  const { bias: _bias, residual: _residual, y, ...factors } = tensors;
  const parts = split ? plan.scratch([splits * rows, columns], { label: "parts of a product" }) : y;
  const added = split ? NO_EPILOGUE : epilogue;
  const { label, code } = tileProduct(form, { dtype, epilogue: added, tile, halfSum, bounded: mayLeaveHalf(largest), split });
  plan.dispatch({ label, code }, {
    tensors: { ...(split ? factors : tensors), y: parts, ...(half && { a: half.half, row_scales: half.rowScales }) },
    params: { rows, columns, depth, row_stride: rowStride, first_column: firstColumn },
    workgroups: [Math.ceil(rows / tile.rows), Math.ceil(columns / tile.columns), splits],
    flops: 2 * rows * columns * depth,
  });
  if (split) addParts(plan, { ...options, parts, splits });
  if (half) keepHalfRows(plan, { ...asHalf, ...half });
}
