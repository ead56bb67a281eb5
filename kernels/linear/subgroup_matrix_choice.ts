/** When products are computed on subgroup matrices, and by which tiles. */
import type { Gpu } from "../gpu.ts";
import { largestMatrices, type SubgroupMatrixShape } from "../subgroup_matrix.ts";
import { cutsOf } from "./part_sums.ts";
import type { Form } from "./product_wgsl.ts";
import { type MatrixTile, subgroupMatrixBytes, subgroupsOf } from "./subgroup_matrix_wgsl.ts";
import { takesHalf } from "./takes_half.ts";
import type { WeightType } from "./weight_types.ts";

/** A tile, and how fast an H200 is with it. */
interface RatedTile {
  readonly tile: MatrixTile;
  /** 10¹² operations a second of a core with one workgroup, and of one with two, by form; fitted, and of a tile that was nowhere the fastest a guess. */
  readonly alone: Record<Form, number>;
  readonly inPairs: Record<Form, number>;
}

/** Workgroups that fill a core by themselves. */
const large = (tile: MatrixTile, rows: number, columns: number): RatedTile => ({
  tile,
  alone: { rows, columns },
  inPairs: { rows, columns },
});

/** For rows that one tile holds, where reading the weights is what takes the time. */
const FEW_ROWS_TILE: MatrixTile = { rows: 64, columns: 128, depth: 32, down: 2, across: 2 };
const RATED: readonly RatedTile[] = [
  large({ rows: 128, columns: 128, depth: 64, down: 4, across: 2 }, 1.95, 1.92),
  {
    tile: { rows: 128, columns: 128, depth: 32, down: 2, across: 2 },
    alone: { rows: 1.29, columns: 0.83 },
    inPairs: { rows: 2.13, columns: 2.44 },
  },
  large({ rows: 256, columns: 128, depth: 32, down: 8, across: 2 }, 2, 1.97),
  large({ rows: 128, columns: 256, depth: 32, down: 2, across: 4 }, 1.37, 2.04),
  large(FEW_ROWS_TILE, 1.06, 1.43),
  large({ rows: 64, columns: 64, depth: 64, down: 2, across: 2 }, 1.1, 1.23),
  // Sizes between, for rows that leave cores idle in the last round otherwise.
  large({ rows: 96, columns: 128, depth: 64, down: 2, across: 4 }, 1.6, 1.62),
  large({ rows: 160, columns: 128, depth: 64, down: 2, across: 4 }, 1.83, 1.8),
];
/** The tiles that a product may be computed with. */
export const TILES: readonly MatrixTile[] = [
  ...RATED.map(({ tile }) => tile),
  { rows: 256, columns: 128, depth: 32, down: 4, across: 2 }, // may be faster elsewhere
];
/** Cores that a large GPU has: of an H200. */
const CORES = 132;
/** What cutting the summed dimension costs there: milliseconds, and bytes that parts are written and read with in a millisecond. */
const CUT = { milliseconds: 0.009, bytes: 1.8e9 };
/** Numbers of the summed dimension that a workgroup could have summed while it begins, and while it writes y. */
const AROUND = 690;

/** Whether products with these weights are computed by subgroup matrices. Only where factors may be rounded to f16. */
export function takesSubgroupMatrices(gpu: Gpu, product: { dtype: WeightType; precision?: "f32" | "f16" }): boolean {
  return takesHalf(gpu, product) && gpu.subgroupSize > 0 &&
    (["rows", "columns"] as const).every((form) => matrixTiles(gpu, form).length > 0);
}

/** The adapter's largest matrices that fit into a tile. */
export function shapeFor(gpu: Gpu, tile: MatrixTile): SubgroupMatrixShape | undefined {
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

/** A product's sizes. */
interface Sizes {
  readonly rows: number;
  readonly columns: number;
  readonly depth: number;
}

/**
 * Milliseconds that an H200 takes about, as its cores are handed workgroups, one or two each, until all are done. The rates are fitted to the products of
 * the 7B model with 576, 1216 and 4096 rows and f16 weights: for 41 of these 42 the least estimate is that of the fastest tile, for the other one of
 * a tile that takes 4 % longer.
 */
function estimate(form: Form, { rows, columns, depth }: Sizes, { tile, alone, inPairs }: RatedTile, splits: number): number {
  const workgroups = Math.ceil(rows / tile.rows) * Math.ceil(columns / tile.columns) * splits;
  const perCore = Math.ceil(workgroups / CORES);
  const summed = tile.depth * Math.ceil(Math.ceil(depth / tile.depth) / splits) + AROUND;
  const work = 2 * tile.rows * tile.columns * summed / 1e9; // 10⁹ operations, of which a core does 1 to 2 in a millisecond
  const paired = perCore - perCore % 2;
  const cut = splits > 1 ? CUT.milliseconds + (2 * splits + 1) * 4 * rows * columns / CUT.bytes : 0;
  return work * (paired / inPairs[form] + (perCore - paired) / alone[form]) + cut;
}

/**
 * The tile for a product, and in how many parts its summed dimension is cut: what a large GPU is fastest with.
 *
 * @throws {Error} when the adapter has no subgroup matrices, or none that fit
 */
export function matrixTile(gpu: Gpu, form: Form, sizes: Sizes): { matrixTile: MatrixTile; splits: number } {
  const possible = matrixTiles(gpu, form);
  if (sizes.rows <= FEW_ROWS_TILE.rows && possible.includes(FEW_ROWS_TILE)) {
    const workgroups = Math.ceil(sizes.columns / FEW_ROWS_TILE.columns);
    const cuts = cutsOf(FEW_ROWS_TILE, sizes).filter((splits) => splits === 1 || splits * workgroups <= CORES);
    return { matrixTile: FEW_ROWS_TILE, splits: cuts.at(-1)! };
  }
  const choices = RATED.filter(({ tile }) => possible.includes(tile)).flatMap((rated) =>
    cutsOf(rated.tile, sizes).map((splits) => ({
      matrixTile: rated.tile,
      splits,
      time: estimate(form, sizes, rated, splits),
    }))
  );
  if (choices.length === 0) throw new Error(`"${gpu.name}" has no subgroup matrices; use another variant of the product`);
  const { matrixTile, splits } = choices.reduce((a, b) => b.time < a.time ? b : a);
  return { matrixTile, splits };
}
