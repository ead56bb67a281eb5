/**
 * Matrix products of linear layers: y = x · Wᵀ + b, the gradient with respect to x through frozen weights, and the gradients of
 * weights and bias. Letters: T rows, K inputs, N outputs.
 */
import type { Activation } from "../gelu/gelu.ts";
import type { Gpu } from "../gpu.ts";
import type { Plan } from "../plan.ts";
import { expectShape, Tensor } from "../tensor.ts";
import { asTensor, type ComputedRows } from "./computed_rows.ts";
import { type Matrix, weightTensors, type WeightType } from "./matrix.ts";
import { type Epilogue, type Form, plainProduct, type ProductWgsl, subgroupProduct } from "./product_wgsl.ts";
import type { ProductArgs } from "./product_args.ts";
import { EXACT_TILE, type ProductKernel, productKernel } from "./product_choice.ts";
import { recordTileProduct } from "./tile_product.ts";
import { vectorComputes, vectorProduct, vectorThreads } from "./vector_rows_wgsl.ts";
import { subgroupMatrixProduct } from "./subgroup_matrix_product.ts";
import { recordVectorColumns } from "./vector_columns.ts";
import { OUTPUT_STRIP, ROWS_AT_ONCE, weightGradient } from "./weight_gradient_wgsl.ts";
import biasGradientCode from "./bias_gradient.wgsl" with { type: "text" };
import columnSliceCode from "./column_slice.wgsl" with { type: "text" };
import weightGradientCode from "./weight_gradient.wgsl" with { type: "text" };

export type { ProductKernel, ProductVariant } from "./product_choice.ts";

/** Arguments of {@linkcode linear}. */
export interface LinearArgs {
  /** (T, K) f32, or what they are computed from */
  x: Tensor | ComputedRows;
  /** (N, K) */
  weight: Matrix;
  /** (N) f32 */
  bias?: Tensor;
  /** What is taken of the sums, bias included. */
  activation?: Activation;
  /** (T, N) f32, added to the result; must not be `out` */
  residual?: Tensor;
  /** (T, N) f32, or wider (then the other columns are left alone); scratch (T, N) when left out */
  out?: Tensor;
  /** Whether sums in f16, where there are any, are short, which halves their error: for passes that a gradient goes back through. */
  precise?: boolean;
  /** Overrides the choice of the kernel. */
  kernel?: ProductKernel;
}

/**
 * y = activation(x · Wᵀ (+ bias)) (+ residual).
 *
 * @returns (T, N) f32
 * @throws {Error} when shapes do not fit together
 */
export function linear(plan: Plan, args: LinearArgs): Tensor {
  const { x, weight, bias, activation, residual } = args;
  const [rows] = x.shape;
  expectColumns(x, weight.columns);
  const out = args.out ?? plan.scratch([rows, weight.rows], { label: "linear" });
  expectShape(out, [rows, -1]);
  const width = out.shape[1];
  if (width < weight.rows) expectShape(out, [rows, weight.rows]);
  if (bias) expectShape(bias, [weight.rows]);
  if (residual) expectShape(residual, [rows, width]);
  const epilogue: Epilogue = { bias: !!bias, activation, residual: !!residual, accumulate: false };
  const activations = new Activations(plan, x);
  for (const block of weight.blocks) {
    const shape = { rows, columns: block.rows, depth: weight.columns };
    product(plan, "rows", {
      ...shape,
      activations,
      tensors: { ...weightTensors(block), y: out, ...(bias && { bias }), ...(residual && { residual }) },
      dtype: block.tensor.dtype as WeightType,
      largest: block.largest,
      epilogue,
      rowStride: width,
      firstColumn: block.start,
      precise: args.precise,
      kernel: args.kernel,
    });
  }
  return out;
}

/** Arguments of {@linkcode linearInputGradient}. */
export interface LinearInputGradientArgs {
  /** (T, N) f32, or what they are computed from, or wider; only the first N columns count */
  dy: Tensor | ComputedRows;
  /** (N, K) */
  weight: Matrix;
  /** (T, K) f32, added to the result; must not be `out` */
  residual?: Tensor;
  /** (T, K) f32; scratch when left out */
  out?: Tensor;
  /** `f32` where dy must not be rounded to f16: numbers of very different size in a row that all count. */
  precision?: "f32";
  /** Overrides the choice of the kernel. */
  kernel?: ProductKernel;
}

/**
 * dx = dy · W (+ residual): the backward pass of {@linkcode linear} through frozen weights. Assigns.
 *
 * @returns (T, K) f32
 */
export function linearInputGradient(plan: Plan, args: LinearInputGradientArgs): Tensor {
  const { weight, residual } = args;
  const isWhole = weight.blocks.length === 1 && weight.rows === args.dy.shape[1] && weight.rows % 4 === 0;
  const dy = isWhole ? args.dy : asTensor(plan, args.dy);
  const [rows] = dy.shape;
  if (dy instanceof Tensor) expectShape(dy, [-1, -1]);
  if (dy.shape[1] < weight.rows) expectColumns(dy, weight.rows);
  const out = args.out ?? plan.scratch([rows, weight.columns], { label: "linear input gradient" });
  expectShape(out, [rows, weight.columns]);
  weight.blocks.forEach((block, i) => {
    const part = isWhole ? dy : columnSlice(plan, { from: asTensor(plan, dy), start: block.start, columns: block.rows });
    const first = i === 0;
    product(plan, "columns", {
      rows,
      columns: weight.columns,
      depth: part.shape[1],
      activations: new Activations(plan, part),
      tensors: { ...weightTensors(block), y: out, ...(first && residual && { residual }) },
      dtype: block.tensor.dtype as WeightType,
      largest: block.largest,
      epilogue: { bias: false, residual: first && !!residual, accumulate: !first },
      rowStride: weight.columns,
      firstColumn: 0,
      precision: args.precision,
      kernel: args.kernel,
    });
  });
  return out;
}

/** Arguments of {@linkcode linearWeightGradient}. */
export interface LinearWeightGradientArgs {
  /** (T, N) f32 */
  dy: Tensor;
  /** (T, K) f32 */
  x: Tensor;
  /** (N, K) f32: the gradient is added to it */
  dweight: Tensor;
  /** (N) f32: the bias's gradient is added to it */
  dbias?: Tensor;
}

/** dW += dyᵀ · x and db += column sums of dy. Adds. */
export function linearWeightGradient(plan: Plan, args: LinearWeightGradientArgs): void {
  const { dy, x, dweight, dbias } = args;
  const [rows, outputs] = dy.shape;
  const inputs = x.shape[1];
  expectShape(x, [rows, -1]);
  expectShape(dweight, [outputs, inputs]);
  if (inputs % 4 === 0 && outputs % 4 === 0) {
    for (let first = 0; first < rows; first += ROWS_AT_ONCE) {
      plan.dispatch({ label: "linear weight gradient", code: weightGradient(Math.min(ROWS_AT_ONCE, rows - first)) }, {
        tensors: { dy, x, dweight },
        params: { outputs, inputs, first_row: first },
        workgroups: [Math.ceil(inputs / 128), Math.ceil(outputs / 4 / OUTPUT_STRIP)],
        flops: 2 * Math.min(ROWS_AT_ONCE, rows - first) * outputs * inputs,
      });
    }
  } else {
    plan.dispatch({ label: "linear weight gradient", code: weightGradientCode }, {
      tensors: { dy, x, dweight },
      params: { rows, outputs, inputs },
      workgroups: [Math.ceil(inputs / 32), Math.ceil(outputs / 16)],
      flops: 2 * rows * outputs * inputs,
    });
  }
  if (dbias) biasGradient(plan, { dy, dbias });
}

/** db += column sums of dy (T, N). Adds. */
export function biasGradient(plan: Plan, args: { dy: Tensor; dbias: Tensor }): void {
  const [rows, outputs] = args.dy.shape;
  expectShape(args.dbias, [outputs]);
  plan.dispatch({ label: "linear bias gradient", code: biasGradientCode }, {
    tensors: { dy: args.dy, dbias: args.dbias },
    params: { rows, outputs },
    workgroups: [Math.ceil(outputs / 64)],
  });
}

/** Activations, which become a tensor when the first kernel wants one. */
class Activations {
  readonly #plan: Plan;
  readonly #given: Tensor | ComputedRows;
  #tensor?: Tensor;

  constructor(plan: Plan, given: Tensor | ComputedRows) {
    this.#plan = plan;
    this.#given = given;
  }

  /** As a kernel takes them. */
  for({ variant, tile }: ProductKernel, form: Form): { tensors: Record<string, Tensor>; computed?: ComputedRows } {
    const given = this.#given;
    if (!(given instanceof Tensor) && given.shape[1] % (4 * given.parts) === 0) {
      const { software, subgroupSize: lanes } = this.#plan.gpu;
      if (variant === "subgroup_matrix" || (variant === "tiled" && tile?.half)) return { tensors: {}, computed: given };
      const computes = variant === "vector" && form === "rows" && !software &&
        vectorComputes({ rows: given.shape[0], source: given, lanes });
      if (computes) return { tensors: given.tensors, computed: given };
    }
    this.#tensor ??= asTensor(this.#plan, given);
    return { tensors: { a: this.#tensor } };
  }
}

function expectColumns(x: Tensor | ComputedRows, columns: number): void {
  if (x instanceof Tensor) expectShape(x, [-1, columns]);
  else if (x.shape[1] !== columns) throw new Error(`"${x.label}" has ${x.shape[1]} columns; expected ${columns}`);
}

type Product = ProductArgs & { activations: Activations; kernel?: ProductKernel };

function product(plan: Plan, form: Form, { activations, ...given }: Product): void {
  if (given.rows === 0 || given.columns === 0) return;
  const kernel = given.kernel ?? productKernel(plan.gpu, form, given);
  const { tensors, computed } = activations.for(kernel, form);
  const p = { ...given, tensors: { ...given.tensors, ...tensors }, computed };
  if (kernel.variant === "subgroup_matrix") {
    return subgroupMatrixProduct(plan, form, { ...p, tile: kernel.matrixTile, splits: kernel.splits });
  }
  if (kernel.variant === "tiled") return recordTileProduct(plan, form, { ...p, tile: kernel.tile ?? EXACT_TILE, splits: kernel.splits });
  if (kernel.variant === "vector" && form === "columns") return recordVectorColumns(plan, p);
  const { label, code, tileRows, tileColumns } = sourceOf(plan.gpu, form, { ...p, kernel });
  const across = Math.ceil(p.columns / tileColumns);
  plan.dispatch({ label, code }, {
    tensors: p.tensors,
    params: {
      ...{ rows: p.rows, columns: p.columns, depth: p.depth, row_stride: p.rowStride, first_column: p.firstColumn },
      ...(computed ? { quads: p.depth / 4 } : {}),
    },
    workgroups: kernel.variant === "vector" ? [Math.min(across, 65535), Math.ceil(across / 65535)] : [across, Math.ceil(p.rows / tileRows)],
    flops: 2 * p.rows * p.columns * p.depth,
  });
}

function sourceOf(gpu: Gpu, form: Form, p: ProductArgs & { kernel: ProductKernel }): ProductWgsl {
  const { dtype, epilogue, rows, depth, kernel, computed: source } = p;
  if (kernel.variant === "plain") return plainProduct(form, { dtype, epilogue });
  if (kernel.variant === "subgroup") return subgroupProduct(form, { dtype, epilogue, tile: subgroupTile(form, rows) });
  const lanes = gpu.subgroupSize;
  const threads = gpu.software ? "software" : kernel.threads ?? vectorThreads(p, { lanes });
  return vectorProduct({ dtype, epilogue, rows, depth, threads, lanes, source });
}

/** Tiles that were fastest on llvmpipe (in groups of 8 rows and of 8 or 32 columns), by form. */
const SUBGROUP_TILES: Record<Form, readonly [number, number][]> = {
  rows: [[5, 4], [4, 4], [3, 4], [2, 4], [1, 4]],
  columns: [[5, 1], [3, 1], [2, 2], [1, 2]],
};

/** The tile that computes the fewest rows in vain, the largest of these. */
function subgroupTile(form: Form, rows: number): [number, number] {
  const padded = ([groups]: [number, number]) => Math.ceil(rows / (8 * groups)) * groups;
  return SUBGROUP_TILES[form].reduce((best, tile) => padded(tile) < padded(best) ? tile : best);
}

/**
 * Some columns of a tensor (T, N) as a dense tensor. Unless `exact` is set, its width is rounded up to a multiple of 4 with columns of zeros, so that a product
 * over it may read four at a time (what it reads behind the last row of weights is multiplied by these zeros).
 */
export function columnSlice(plan: Plan, options: { from: Tensor; start: number; columns: number; exact?: boolean }): Tensor {
  const { from, start, columns, exact } = options;
  const [rows, width] = from.shape;
  const padded = exact ? columns : Math.ceil(columns / 4) * 4;
  const out = plan.scratch([rows, padded], { label: "column slice" });
  plan.dispatch({ label: "column slice", code: columnSliceCode }, {
    tensors: { source: from, out },
    params: { rows, width, start, columns, padded },
    workgroups: [Math.ceil(padded / 64), Math.min(rows, 65535)],
  });
  return out;
}
