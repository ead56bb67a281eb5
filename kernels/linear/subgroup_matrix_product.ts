/** The matrix product on subgroup matrices (tensor cores): when it is taken, and its dispatches. */
import type { Gpu } from "../gpu.ts";
import { grid1d } from "../grid.ts";
import type { Plan } from "../plan.ts";
import type { SubgroupMatrixShape } from "../subgroup_matrix.ts";
import type { Tensor } from "../tensor.ts";
import type { Epilogue, Form } from "./product_wgsl.ts";
import { type MatrixPrimitives, SUBGROUP_MATRICES, subgroupMatrixWgsl, TILE, type Tile } from "./subgroup_matrix_wgsl.ts";
import type { WeightType } from "./weight_types.ts";
import halfRowsCode from "./half_rows.wgsl" with { type: "text" };

/** Arguments of {@linkcode subgroupMatrixProduct}: M rows, N columns, K depth. */
export interface SubgroupMatrixProductArgs {
  /** M */
  rows: number;
  /** N; in the form `columns` a multiple of 4 */
  columns: number;
  /** K, a multiple of 4 */
  depth: number;
  /** `a` (M, K) f32, weights `w` (and `scales`), the result `y`, and what the epilogue adds: `bias`, `residual` */
  tensors: Readonly<Record<string, Tensor>>;
  /** Number type of the weights. */
  dtype: WeightType;
  /** What is added. */
  epilogue: Epilogue;
  /** Numbers from row to row of `y`. */
  rowStride: number;
  /** Column of `y` that the first one goes to. */
  firstColumn: number;
  /** The matrices to compute with; the adapter's when left out. */
  shape?: SubgroupMatrixShape;
  /** Tile of a workgroup; {@linkcode TILE} when left out. */
  tile?: Tile;
  /** Lanes of a subgroup; the adapter's when left out. */
  lanes?: number;
  /** How matrices are computed with; {@linkcode SUBGROUP_MATRICES} when left out. */
  primitives?: MatrixPrimitives;
}

/**
 * Whether products with these weights are computed by subgroup matrices. Not with f32 weights: who keeps them wants sums of f32 products.
 */
export function takesSubgroupMatrices(gpu: Gpu, dtype: WeightType): boolean {
  return dtype !== "f32" && gpu.has("shader-f16") && gpu.subgroupSize > 0 && shapeFor(gpu, TILE) !== undefined;
}

/** The adapter's largest matrices that fit into a tile. */
function shapeFor(gpu: Gpu, tile: Tile): SubgroupMatrixShape | undefined {
  const size = ({ rows, columns, depth }: SubgroupMatrixShape) => rows * columns * depth;
  return gpu.subgroupMatrices
    .filter((shape) => tile.rows % (2 * shape.rows) === 0 && tile.columns % (2 * shape.columns) === 0 && tile.depth % shape.depth === 0)
    .reduce<SubgroupMatrixShape | undefined>((best, shape) => best && size(best) >= size(shape) ? best : shape, undefined);
}

/**
 * y = a · wᵀ or a · w with both factors rounded to f16 (relative error 2⁻¹² each at most, for a above 2⁻²⁹ of its row's largest number) and
 * sums in f32. Weights below 2⁻¹⁴ lose up to 2⁻²⁵; those beyond ±65504 are taken as ±65504.
 *
 * @throws {Error} when the adapter has no subgroup matrices
 */
export function subgroupMatrixProduct(plan: Plan, form: Form, args: SubgroupMatrixProductArgs): void {
  const { rows, columns, depth, dtype, epilogue, tile = TILE, primitives = SUBGROUP_MATRICES } = args;
  const shape = args.shape ?? shapeFor(plan.gpu, tile);
  if (!shape) throw new Error(`"${plan.gpu.name}" has no subgroup matrices; use another variant of the product`);
  const { half, rowScales } = halfRows(plan, { x: args.tensors.a, rows, depth, tileDepth: tile.depth });
  const lanes = args.lanes ?? plan.gpu.subgroupSize;
  const { label, code } = subgroupMatrixWgsl(form, { dtype, epilogue, shape, lanes, tile, primitives });
  plan.dispatch({ label, code }, {
    tensors: { ...args.tensors, a: half, row_scales: rowScales },
    params: { rows, columns, depth, row_stride: args.rowStride, first_column: args.firstColumn },
    // neighbours share their weights: rows first
    workgroups: [Math.ceil(rows / tile.rows), Math.ceil(columns / tile.columns)],
  });
  latest.set(plan, { x: args.tensors.a, tileDepth: tile.depth, half, rowScales, length: plan.length });
}

/** f16 rows and what undoes their scales. */
interface HalfRows {
  readonly half: Tensor;
  readonly rowScales: Tensor;
}

/** The rows of a plan's last step, where that was such a product. */
const latest = new WeakMap<Plan, HalfRows & { x: Tensor; tileDepth: number; length: number }>();

/** Rows of x (M, K) in f16. Blocks of one matrix, one after the other, share them. */
function halfRows(plan: Plan, options: { x: Tensor; rows: number; depth: number; tileDepth: number }): HalfRows {
  const { x, rows, depth, tileDepth } = options;
  const known = latest.get(plan);
  if (known && known.x === x && known.length === plan.length && known.tileDepth === tileDepth) return known;
  const padded = Math.ceil(depth / tileDepth) * tileDepth;
  const half = plan.scratch([rows, padded], { dtype: "f16", label: "f16 rows" });
  const rowScales = plan.scratch([rows], { label: "row scales" });
  plan.dispatch({ label: "linear f16 rows", code: halfRowsCode }, {
    tensors: { x, y: half, row_scales: rowScales },
    params: { rows, quads: depth / 4, padded: padded / 4 },
    workgroups: grid1d(rows, 1),
  });
  return { half, rowScales };
}
