/** The tiled matrix product for GPUs: its dispatches. */
import { grid1d } from "../grid.ts";
import type { Plan } from "../plan.ts";
import { halfRows, keepHalfRows } from "./half_rows.ts";
import type { ProductArgs } from "./product_args.ts";
import type { Form } from "./product_wgsl.ts";
import { partSums, type ProductTile, tileDepth, tileProduct } from "./tile_product_wgsl.ts";

/**
 * The largest number of a row lies between 2³ and 2⁴: sums of f16 products over a tile's depth of 32 then stay finite for weights up to ±128.
 */
const PEAK = 3;

const NOTHING = { bias: false, residual: false, accumulate: false };

/**
 * y = a · wᵀ or a · w.
 *
 * @param options the tile, and in how many parts the summed dimension is cut
 */
export function recordTileProduct(plan: Plan, form: Form, options: ProductArgs & { tile: ProductTile; splits?: number }): void {
  const { rows, columns, depth, dtype, epilogue, tensors, rowStride, firstColumn, tile, splits = 1 } = options;
  const split = splits > 1;
  const asHalf = { x: tensors.a, rows, depth, tileDepth: tileDepth(tile), peak: PEAK };
  const half = tile.half ? halfRows(plan, asHalf) : undefined;
  const { bias: _bias, residual: _residual, y, ...factors } = tensors;
  const parts = split ? plan.scratch([splits * rows, columns], { label: "parts of a product" }) : y;
  const { label, code } = tileProduct(form, { dtype, epilogue: split ? NOTHING : epilogue, tile, split });
  const params = { rows, columns, depth, row_stride: rowStride, first_column: firstColumn };
  plan.dispatch({ label, code }, {
    tensors: { ...(split ? factors : tensors), y: parts, ...(half && { a: half.half, row_scales: half.rowScales }) },
    params,
    workgroups: [Math.ceil(columns / tile.side), Math.ceil(rows / tile.side), splits],
    flops: 2 * rows * columns * depth,
  });
  if (split) {
    const sums = partSums(epilogue);
    const { a: _a, w: _w, scales: _scales, ...added } = tensors;
    plan.dispatch(sums, {
      tensors: { ...added, parts },
      params: { ...params, depth: splits },
      workgroups: grid1d(rows * columns, sums.invocations),
    });
  }
  if (half) keepHalfRows(plan, { ...asHalf, ...half });
}
