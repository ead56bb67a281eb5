/** Measures every kernel that a product of a model might use on this adapter, and keeps the fastest. */
import type { Gpu } from "../../kernels/gpu.ts";
import { linear, linearInputGradient } from "../../kernels/linear/linear.ts";
import { destroyMatrix, type Matrix } from "../../kernels/linear/matrix.ts";
import { productCandidates, type ProductKernel, productKey, rowStep } from "../../kernels/linear/product_choice.ts";
import type { Form } from "../../kernels/linear/product_wgsl.ts";
import { matrixTileName } from "../../kernels/linear/subgroup_matrix_wgsl.ts";
import { tileName } from "../../kernels/linear/tile_product_wgsl.ts";
import type { WeightType } from "../../kernels/linear/weight_types.ts";
import { Plan } from "../../kernels/plan.ts";
import type { Tensor } from "../../kernels/tensor.ts";
import type { Qwen2VlConfig } from "../../pipeline/qwen2_vl/config.ts";
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
    const matrix = randomMatrix(gpu, shape, dtype);
    for (const form of forms) {
      for (const count of new Set(rows.map(rowStep))) {
        const [columns, depth] = form === "rows" ? shape : [shape[1], shape[0]];
        const sizes = { rows: count, columns, depth, dtype };
        const candidates = productCandidates(gpu, form, sizes);
        using product = new TunedProduct(gpu, { form, matrix, rows: count });
        const found = await race(candidates, { repeats, measure: (kernel, times) => product.milliseconds(kernel, times) });
        const key = productKey(form, sizes);
        if (candidates.length > 1) best.set(key, found.fastest.kernel);
        printRace(key, found, { name: nameOf, flops: 2 * count * columns * depth });
      }
    }
    destroyMatrix(gpu, matrix);
  }
  return best;
}

/** A kernel in a few words. */
function nameOf({ variant, tile, matrixTile, threads, splits = 1 }: ProductKernel): string {
  const own = tile ? ` ${tileName(tile)}` : matrixTile ? ` ${matrixTileName(matrixTile)}` : threads ? ` by ${threads}` : "";
  return `${variant.replace("_", " ")}${own}${splits > 1 ? ` / ${splits}` : ""}`;
}

/** A product whose kernels are measured, all on the same numbers. */
class TunedProduct implements Disposable {
  readonly #x: Tensor;
  readonly #out: Tensor;

  constructor(readonly gpu: Gpu, readonly args: { form: Form; matrix: Matrix; rows: number }) {
    const { form, matrix, rows } = args;
    const [width, columns] = form === "rows" ? [matrix.columns, matrix.rows] : [matrix.rows, matrix.columns];
    this.#x = gpu.tensor([rows, width], { label: "x", data: manyRandom(rows * width) });
    this.#out = gpu.tensor([rows, columns], { label: "y" });
  }

  /** Milliseconds by time stamps; the median. */
  async milliseconds(kernel: ProductKernel, repeats: number): Promise<number> {
    const { form, matrix } = this.args;
    using plan = new Plan(this.gpu, "tune");
    const [given, out] = [this.#x, this.#out];
    if (form === "rows") linear(plan, { x: given, weight: matrix, kernel, out });
    else linearInputGradient(plan, { dy: given, weight: matrix, kernel, out });
    return await timeOfPlan(plan, repeats);
  }

  [Symbol.dispose](): void {
    this.gpu.destroy(this.#x, this.#out);
  }
}
