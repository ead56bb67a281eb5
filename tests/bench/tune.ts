/** Measures every kernel that a product of a model might use on this adapter, and keeps the fastest. */
import type { Gpu } from "../../kernels/gpu.ts";
import { linear, linearInputGradient } from "../../kernels/linear/linear.ts";
import { measureLargest } from "../../kernels/linear/largest_weight.ts";
import { createMatrix, destroyMatrix, type Matrix, weightTensors } from "../../kernels/linear/matrix.ts";
import { EXACT_TILE, productCandidates, type ProductKernel, productKey, rowStep } from "../../kernels/linear/product_choice.ts";
import type { Form } from "../../kernels/linear/product_wgsl.ts";
import { matrixTileName } from "../../kernels/linear/subgroup_matrix_wgsl.ts";
import { tileName } from "../../kernels/linear/tile_product_wgsl.ts";
import type { WeightType } from "../../kernels/linear/weight_types.ts";
import { Plan } from "../../kernels/plan.ts";
import type { Tensor } from "../../kernels/tensor.ts";
import type { Qwen2VlConfig } from "../../pipeline/qwen2_vl/config.ts";
import { relativeError } from "../../pipeline/golden/comparison.ts";
import { matrixType } from "../../pipeline/qwen2_vl/quantize.ts";
import { saveTuning } from "../../pipeline/tuning.ts";
import { randomMatrix } from "./products.ts";
import { printRace, race, timeOfPlan } from "./race.ts";
import { manyRandom } from "./support.ts";
import { tuneAttention, tunedAttention } from "./tune_attention.ts";

/** Options of {@linkcode benchTune}. */
export interface BenchTuneOptions {
  /** The model's sizes. */
  config: Qwen2VlConfig;
  /** Wanted number type of its weights; as stored when left out. */
  weights?: WeightType;
  /** Number type of the checkpoint's file: `F32`, `BF16` or `F16`. */
  stored: string;
  /** Rows that are measured; each stands for all up to it from the one before. */
  rows: readonly number[];
  /** Times that each kernel is measured that is among the fastest by a first measurement. */
  repeats: number;
}

/** A matrix whose products are measured. */
export interface TunedMatrix {
  /** N, K */
  shape: [number, number];
  /** The number type that its weights are kept in. */
  dtype: WeightType;
  /** Products that the program computes with it: no gradient goes back through the vision tower. */
  forms: readonly Form[];
}

/** The model's matrices, each shape once. */
export function tunedMatrices({ config: { text, vision }, weights, stored }: Omit<BenchTuneOptions, "rows" | "repeats">): TunedMatrix[] {
  const heads = text.heads * text.headDim;
  const keyValue = 2 * text.kvHeads * text.headDim;
  const merged = vision.hidden * vision.merge ** 2;
  const layers: [number, number][] = [
    [heads, text.hidden],
    [keyValue, text.hidden],
    [text.hidden, heads],
    [2 * text.intermediate, text.hidden],
    [text.hidden, text.intermediate],
  ];
  const tower: [number, number][] = [
    [3 * vision.hidden, vision.hidden],
    [vision.hidden, vision.hidden],
    [vision.intermediate, vision.hidden],
    [vision.hidden, vision.intermediate],
    [merged, merged],
    [text.hidden, merged],
  ];
  const typed = (shapes: [number, number][], name: string, forms: readonly Form[]) =>
    shapes.map((shape): TunedMatrix => ({ shape, dtype: matrixType(name, { weights, stored }), forms }));
  const all = [...typed(tower, "visual.blocks.0", ["rows"]), ...typed(layers, "model.layers.0", ["rows", "columns"])];
  return [...new Map(all.map((matrix) => [JSON.stringify([matrix.shape, matrix.dtype]), matrix])).values()]; // of the same the last, with more forms
}

/** Measures, prints a row for each product and each kind of attention, and writes what `tasks/` reads when it opens the GPU. */
export async function benchTune(gpu: Gpu, options: BenchTuneOptions): Promise<void> {
  console.log("| what | until now | fastest | TFLOP/s | gain |\n|---|---|---|---|---|");
  const products = await tuneProducts(gpu, options);
  const attention = await tuneAttention(gpu, tunedAttention(options), { repeats: options.repeats });
  console.log(`\nWritten: ${await saveTuning(gpu, { products, attention })}`);
}

async function tuneProducts(gpu: Gpu, options: BenchTuneOptions): Promise<Map<string, ProductKernel>> {
  const { rows, repeats } = options;
  const best = new Map<string, ProductKernel>();
  for (const { shape, dtype, forms } of tunedMatrices(options)) {
    const matrices = await equalMatrices(gpu, shape, dtype);
    for (const form of forms) {
      for (const count of new Set(rows.map(rowStep))) {
        const [columns, depth] = form === "rows" ? shape : [shape[1], shape[0]];
        const sizes = { rows: count, columns, depth, dtype };
        const candidates = productCandidates(gpu, form, sizes);
        if (candidates.length < 2) continue;
        using product = new TunedProduct(gpu, { form, matrices, rows: count });
        const found = await race(candidates, {
          repeats,
          measure: (kernel, times) => product.milliseconds(kernel, times),
          error: () => product.error(),
        });
        const key = productKey(form, sizes);
        best.set(key, found.fastest.kernel);
        printRace(key, found, { name: nameOf, flops: 2 * count * columns * depth });
      }
    }
    matrices.forEach((matrix) => destroyMatrix(gpu, matrix));
  }
  return best;
}

/** The same matrix several times, so that none of them comes from a cache: a model's layers have weights of their own. */
async function equalMatrices(gpu: Gpu, shape: [number, number], dtype: WeightType): Promise<Matrix[]> {
  const first = randomMatrix(gpu, shape, dtype);
  const tensors = ({ blocks }: Matrix) => blocks.flatMap((block) => Object.values(weightTensors(block)));
  const bytes = tensors(first).reduce((sum, tensor) => sum + tensor.bytes, 0);
  const count = gpu.software ? 1 : Math.min(MOST_MATRICES, Math.ceil(CACHED_BYTES / bytes));
  const matrices = [first, ...Array.from({ length: count - 1 }, () => createMatrix(gpu, shape, { dtype }))];
  const from = tensors(first);
  gpu.run(...matrices.slice(1).flatMap((matrix) => tensors(matrix).map((to, i) => ({ from: from[i], to }))));
  await measureLargest(gpu, matrices);
  return matrices;
}

/** A kernel in a few words. */
function nameOf({ variant, tile, matrixTile, threads, splits = 1 }: ProductKernel): string {
  const own = tile ? ` ${tileName(tile)}` : matrixTile ? ` ${matrixTileName(matrixTile)}` : threads ? ` by ${threads}` : "";
  return `${variant.replace("_", " ")}${own}${splits > 1 ? ` / ${splits}` : ""}`;
}

/** More than the caches of GPUs hold, of matrices that are not small. */
const CACHED_BYTES = 256 * 2 ** 20;
const MOST_MATRICES = 8;
/** Operations of a measurement at least, where they are not too many products: a few milliseconds, in which a GPU does not slow down to save power. */
const MEASURED_FLOPS = 2e11;
const MOST_PRODUCTS = 32;
/** Rows at either end whose results are looked at. */
const COMPARED = 32;

/** A product whose kernels are measured, all on the same numbers. */
class TunedProduct implements Disposable {
  readonly #inputs: Tensor[];
  readonly #out: Tensor;
  readonly #count: number;
  #expected?: Float32Array[];

  constructor(readonly gpu: Gpu, readonly args: { form: Form; matrices: readonly Matrix[]; rows: number }) {
    const { form, matrices: [{ rows: outputs, columns: inputs }], rows } = args;
    const [width, columns] = form === "rows" ? [inputs, outputs] : [outputs, inputs];
    const data = manyRandom(rows * width);
    this.#inputs = [0, 1].map(() => gpu.tensor([rows, width], { label: "x", data })); // two, so that none finds the other's f16 rows
    this.#out = gpu.tensor([rows, columns], { label: "y" });
    this.#count = gpu.software ? 1 : Math.min(MOST_PRODUCTS, Math.ceil(MEASURED_FLOPS / (2 * rows * outputs * inputs)));
  }

  /** Milliseconds of a product by time stamps; the median of several runs over some products each. */
  async milliseconds(kernel: ProductKernel, repeats: number): Promise<number> {
    this.#compared().forEach((rows) => this.gpu.write(rows, new Float32Array(rows.size).fill(NaN)));
    using plan = new Plan(this.gpu, "tune");
    for (let i = 0; i < this.#count; i++) this.#record(plan, kernel, i);
    return await timeOfPlan(plan, repeats) / this.#count;
  }

  /** How far off the result of the last measurement is from what the simplest tiles in f32 give. */
  async error(): Promise<number> {
    const found = await this.#read();
    if (!this.#expected) {
      using plan = new Plan(this.gpu, "tune");
      this.#record(plan, { variant: "tiled", tile: EXACT_TILE }, 0);
      plan.run();
      this.#expected = await this.#read();
    }
    return Math.max(...found.map((values, i) => relativeError(values, this.#expected![i])));
  }

  #record(plan: Plan, kernel: ProductKernel, i: number): void {
    const { form, matrices } = this.args;
    const [weight, given, out] = [matrices[i % matrices.length], this.#inputs[i % 2], this.#out];
    if (form === "rows") linear(plan, { x: given, weight, kernel, out });
    else linearInputGradient(plan, { dy: given, weight, kernel, out });
  }

  /** Rows at the beginning and, where a view may begin there, at the end. */
  #compared(): Tensor[] {
    const [rows, columns] = this.#out.shape;
    const some = [Math.min(rows, COMPARED), columns];
    const last = (rows - some[0]) * columns * 4;
    return [0, last].filter((at) => at % 256 === 0).map((at) => this.#out.view(some, at));
  }

  async #read(): Promise<Float32Array[]> {
    return (await this.gpu.read(...this.#compared())).map((bytes) => new Float32Array(bytes.buffer));
  }

  [Symbol.dispose](): void {
    this.gpu.destroy(...this.#inputs, this.#out);
  }
}
