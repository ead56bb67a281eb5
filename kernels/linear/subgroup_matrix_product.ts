/** The matrix product on subgroup matrices (tensor cores): when it is taken, and its dispatches. */
import type { Gpu } from "../gpu.ts";
import { type MatrixPrimitives, SUBGROUP_MATRICES } from "../matrix_primitives.ts";
import type { Plan } from "../plan.ts";
import { largestMatrices, type SubgroupMatrixShape } from "../subgroup_matrix.ts";
import { halfRows, keepHalfRows } from "./half_rows.ts";
import { takesHalf } from "./takes_half.ts";
import type { ProductArgs } from "./product_args.ts";
import type { Form } from "./product_wgsl.ts";
import { subgroupMatrixWgsl, TILE, type Tile } from "./subgroup_matrix_wgsl.ts";
import type { WeightType } from "./weight_types.ts";

/** Arguments of {@linkcode subgroupMatrixProduct}. */
export interface SubgroupMatrixProductArgs extends ProductArgs {
  /** The matrices to compute with; the adapter's when left out. */
  shape?: SubgroupMatrixShape;
  /** Tile of a workgroup; {@linkcode TILE} when left out. */
  tile?: Tile;
  /** Lanes of a subgroup; the adapter's when left out. */
  lanes?: number;
  /** How matrices are computed with; {@linkcode SUBGROUP_MATRICES} when left out. */
  primitives?: MatrixPrimitives;
}

/** Sums are f32, so that the largest number of a row may use all of f16's range but the last factor of 2. */
const PEAK = 14;

/**
 * Whether products with these weights are computed by subgroup matrices. Only where factors may be rounded to f16.
 */
export function takesSubgroupMatrices(gpu: Gpu, product: { dtype: WeightType; precision?: "f32" | "f16" }): boolean {
  return takesHalf(gpu, product) && gpu.subgroupSize > 0 && shapeFor(gpu, TILE) !== undefined;
}

/** The adapter's largest matrices that fit into a tile. */
function shapeFor(gpu: Gpu, tile: Tile): SubgroupMatrixShape | undefined {
  return largestMatrices(
    gpu.subgroupMatrices.filter(({ rows, columns, depth }) =>
      tile.rows % (2 * rows) === 0 && tile.columns % (2 * columns) === 0 && tile.depth % depth === 0
    ),
  );
}

/**
 * y = a · wᵀ or a · w with both factors rounded to f16 (relative error 2⁻¹¹ each at most, for a above 2⁻²⁹ of its row's largest number) and
 * sums in f32. Weights below 2⁻¹⁴ lose up to 2⁻²⁵; those beyond ±65504 are taken as ±65504.
 *
 * @throws {Error} when the adapter has no subgroup matrices
 */
export function subgroupMatrixProduct(plan: Plan, form: Form, args: SubgroupMatrixProductArgs): void {
  const { rows, columns, depth, dtype, epilogue, tile = TILE, primitives = SUBGROUP_MATRICES } = args;
  const shape = args.shape ?? shapeFor(plan.gpu, tile);
  if (!shape) throw new Error(`"${plan.gpu.name}" has no subgroup matrices; use another variant of the product`);
  const asHalf = { x: args.tensors.a, rows, depth, tileDepth: tile.depth, peak: PEAK };
  const { half, rowScales } = halfRows(plan, asHalf);
  const lanes = args.lanes ?? plan.gpu.subgroupSize;
  const { label, code } = subgroupMatrixWgsl(form, { dtype, epilogue, shape, lanes, tile, primitives });
  plan.dispatch({ label, code }, {
    tensors: { ...args.tensors, a: half, row_scales: rowScales },
    params: { rows, columns, depth, row_stride: args.rowStride, first_column: args.firstColumn },
    // neighbours share their weights: rows first
    workgroups: [Math.ceil(rows / tile.rows), Math.ceil(columns / tile.columns)],
    flops: 2 * rows * columns * depth,
  });
  keepHalfRows(plan, { ...asHalf, half, rowScales });
}
