/** Which kernel computes a product: what was measured on the adapter where it was, otherwise a rule of thumb. */
import type { Gpu } from "../gpu.ts";
import { cutsOf } from "./part_sums.ts";
import type { Form } from "./product_wgsl.ts";
import { matrixTile, matrixTiles, takesSubgroupMatrices } from "./subgroup_matrix_choice.ts";
import { type MatrixTile, matrixTileName } from "./subgroup_matrix_wgsl.ts";
import { takesHalf } from "./takes_half.ts";
import type { ProductTile } from "./tile_product_wgsl.ts";
import { VECTOR_THREADS, type VectorThreads, vectorThreads } from "./vector_rows_wgsl.ts";
import type { WeightType } from "./weight_types.ts";

/** Kinds of kernels. */
export type ProductVariant = "subgroup_matrix" | "subgroup" | "tiled" | "vector" | "plain";

/** A kernel with its sizes. */
export interface ProductKernel {
  /** Kind. */
  readonly variant: ProductVariant;
  /** Tile of the variant `tiled`. */
  readonly tile?: ProductTile;
  /** Tile of the variant `subgroup_matrix`; chosen by the product's size when left out. */
  readonly matrixTile?: MatrixTile;
  /** Invocations of a workgroup of the variant `vector`, form `rows`, on hardware; chosen by the product's size when left out. */
  readonly threads?: VectorThreads;
  /** Parts of the summed dimension of the variants with tiles, computed side by side and added; 1 when left out. */
  readonly splits?: number;
}

/** A product's sizes. */
export interface ProductShape {
  /** M */
  readonly rows: number;
  /** N */
  readonly columns: number;
  /** K */
  readonly depth: number;
  /** Number type of the weights. */
  readonly dtype: WeightType;
  /** `f32` where factors must not be rounded to f16; the device's precision when left out. */
  readonly precision?: "f32" | "f16";
}

/** Rows up to which a product is computed as so many vector times matrix products; more where nothing else reads weights at full speed. */
const VECTOR_ROWS: Record<Form, number> = { rows: 4, columns: 32 };
const MORE_VECTOR_ROWS: Record<Form, number> = { rows: 8, columns: 32 };
/**
 * Rows up to which that is taken where nothing was measured: a tile of 64 rows would compute three quarters of them in vain, and be bound by that
 * instead of by reading weights. So many sums still fit into registers.
 */
const MOST_VECTOR_ROWS = 16;

/** Invocations that keep a large GPU busy, with their registers. */
const BUSY = 49152;

/** The fastest tiles on an H200, or nearly so, for all sizes: small ones, of which many are under way at once. */
export const EXACT_TILE: ProductTile = { rows: 64, columns: 64, half: false };
const HALF_TILE: ProductTile = { rows: 64, columns: 128, half: true };
/**
 * The same with two copies of each activation beside each other. NVIDIA's compiler gives every other FMA of f16 to a second pipe, but only where both
 * factors are pairs: products took 11 to 31 % less on an H200, a step of stage 2 6 to 11 %.
 */
const COPIES_TILE: ProductTile = { ...HALF_TILE, copies: true };
/** Others that may be faster elsewhere. */
const TILES: readonly ProductTile[] = [
  EXACT_TILE,
  { rows: 128, columns: 128, half: false },
  HALF_TILE,
  { rows: 64, columns: 64, half: true },
  { rows: 128, columns: 128, half: true },
  COPIES_TILE,
  { rows: 64, columns: 64, half: true, copies: true },
  { rows: 128, columns: 128, half: true, copies: true },
];

/** The kernel for a product. */
export function productKernel(gpu: Gpu, form: Form, shape: ProductShape): ProductKernel {
  const { rows, columns, depth } = shape;
  if (depth % 4 || (form === "columns" && columns % 4)) return { variant: "plain" };
  const software = gpu.software && gpu.subgroupSize === 8;
  const measured = measuredKernel(gpu, form, shape);
  if (measured && isPossible(gpu, measured, { ...shape, form })) return measured;
  const few = gpu.software || takesSubgroupMatrices(gpu, shape) ? VECTOR_ROWS : MORE_VECTOR_ROWS;
  if (rows <= few[form] && !(software && form === "columns")) return { variant: "vector" };
  if (takesSubgroupMatrices(gpu, shape)) return { variant: "subgroup_matrix", ...matrixTile(gpu, form, shape) };
  if (software) return { variant: "subgroup" };
  if (takesVector(gpu, form, rows)) return { variant: "vector" };
  return tileKernel(shape, !takesHalf(gpu, shape) ? EXACT_TILE : /nvidia/i.test(gpu.name) ? COPIES_TILE : HALF_TILE);
}

/** Whether the device has what a kernel needs, and the product may be as exact as the kernel is. */
function isPossible(gpu: Gpu, { variant, tile, matrixTile, threads }: ProductKernel, shape: ProductShape & { form: Form }): boolean {
  if (variant === "vector") return takesVector(gpu, shape.form, shape.rows) && (gpu.subgroupSize > 0 || (threads ?? 64) === 64);
  if (variant === "subgroup_matrix") {
    const fits = !matrixTile || matrixTiles(gpu, shape.form).some((tile) => matrixTileName(tile) === matrixTileName(matrixTile));
    return fits && takesSubgroupMatrices(gpu, shape);
  }
  if (variant === "subgroup") return gpu.subgroupSize === 8;
  return !tile?.half || takesHalf(gpu, shape);
}

/** Whether a product may be computed as vector times matrix products by workgroups that share columns. */
function takesVector(gpu: Gpu, form: Form, rows: number): boolean {
  return form === "rows" && rows <= MOST_VECTOR_ROWS && !gpu.software;
}

/** The summed dimension is cut until the GPU is busy. */
function tileKernel({ rows, columns, depth }: ProductShape, tile: ProductTile): ProductKernel {
  const invocations = Math.ceil(rows / tile.rows) * Math.ceil(columns / tile.columns) * tile.rows * tile.columns / 64;
  const splits = Math.max(1, Math.min(8, Math.floor(BUSY / invocations), Math.floor(depth / 512)));
  return { variant: "tiled", tile, splits };
}

/** Every kernel that might be the fastest for a product on this adapter, the one that is taken now first. */
export function productCandidates(gpu: Gpu, form: Form, shape: ProductShape): ProductKernel[] {
  const chosen = productKernel(gpu, form, shape);
  const vectors = takesVector(gpu, form, shape.rows) ? vectorKernels(gpu, shape) : [];
  if (chosen.variant === "plain") return [chosen];
  if (chosen.variant === "vector" && shape.rows <= MORE_VECTOR_ROWS[form]) return [chosen, ...vectors];
  const matrices = takesSubgroupMatrices(gpu, shape) ? matrixTiles(gpu, form) : [];
  const tiles = (matrices.length ? [EXACT_TILE, HALF_TILE] : TILES).filter(({ half }) => !half || takesHalf(gpu, shape)).flatMap((tile) =>
    (matrices.length ? [1] : cutsOf(tile, shape)).map((splits): ProductKernel => ({ variant: "tiled", tile, splits }))
  );
  const others: ProductKernel[] = [
    ...matrices.flatMap((matrixTile) =>
      cutsOf(matrixTile, shape).map((splits): ProductKernel => ({ variant: "subgroup_matrix", matrixTile, splits }))
    ),
    ...(gpu.subgroupSize === 8 ? [{ variant: "subgroup" as const }] : []),
    ...(takesVector(gpu, form, shape.rows) ? [{ variant: "vector" as const }, ...vectors] : []),
  ];
  const all = [chosen, ...others, ...tiles].map((kernel) => [JSON.stringify({ splits: 1, ...kernel }), kernel] as const);
  return [...new Map(all).values()];
}

/** Vector times matrix products by workgroups of other sizes than the one that is taken without a measurement. */
function vectorKernels(gpu: Gpu, shape: ProductShape): ProductKernel[] {
  const usual = vectorThreads(shape, { lanes: gpu.subgroupSize });
  const sizes = VECTOR_THREADS.filter((threads) => threads !== usual && (threads === 64 || gpu.subgroupSize > 0));
  return sizes.map((threads) => ({ variant: "vector", threads }));
}

/** Name of a product among those that were measured. */
export function productKey(form: Form, { rows, columns, depth, dtype }: ProductShape): string {
  return `${form} ${dtype} ${rows}x${columns}x${depth}`;
}

/** Rows that stand for all larger numbers of them in measurements: tiles in plenty whatever they are. */
const MOST_ROWS = 4096;
/** What was measured for some rows stands for up to so many times fewer, or more. */
const NEAR = 1.5;

/** What was measured to be the fastest for these rows or the next larger number of them, as that has as many tiles; otherwise the next smaller. */
function measuredKernel(gpu: Gpu, form: Form, shape: ProductShape): ProductKernel | undefined {
  const exact = gpu.productKernels.get(productKey(form, shape));
  if (exact) return exact;
  const [before, behind] = [`${form} ${shape.dtype} `, `x${shape.columns}x${shape.depth}`];
  const rows = Math.min(shape.rows, MOST_ROWS);
  const near: { count: number; kernel: ProductKernel }[] = [];
  for (const [key, kernel] of gpu.productKernels) {
    if (!key.startsWith(before) || !key.endsWith(behind)) continue;
    const count = Math.min(Number(key.slice(before.length, -behind.length)), MOST_ROWS);
    if (count <= NEAR * rows && rows <= NEAR * count) near.push({ count, kernel });
  }
  near.sort((a, b) => a.count - b.count);
  return (near.find(({ count }) => count >= rows) ?? near.at(-1))?.kernel;
}
