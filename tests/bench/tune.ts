/** Measures every kernel that a product of a model might use on this adapter, and keeps the fastest. */
import type { Gpu } from "../../kernels/gpu.ts";
import { keptType } from "../../kernels/linear/half_weights.ts";
import { linear, linearInputGradient } from "../../kernels/linear/linear.ts";
import { measureLargest } from "../../kernels/linear/largest_weight.ts";
import { createMatrix, destroyMatrix, type Matrix, weightTensors } from "../../kernels/linear/matrix.ts";
import { EXACT_TILE, productCandidates, type ProductKernel, productKey } from "../../kernels/linear/product_choice.ts";
import type { Form } from "../../kernels/linear/product_wgsl.ts";
import { matrixTileName } from "../../kernels/linear/subgroup_matrix_wgsl.ts";
import { tileName } from "../../kernels/linear/tile_product_wgsl.ts";
import type { WeightType } from "../../kernels/linear/weight_types.ts";
import type { Plan } from "../../kernels/plan.ts";
import type { Tensor } from "../../kernels/tensor.ts";
import type { Qwen2VlConfig } from "../../pipeline/qwen2_vl/config.ts";
import { matrixType } from "../../pipeline/qwen2_vl/quantize.ts";
import { saveTuning } from "../../pipeline/tuning.ts";
import { randomMatrix } from "./products.ts";
import { printRace, race } from "./race.ts";
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
  /** Rows that are measured; others are computed as the next larger or smaller of them, if it is near. */
  rows: readonly number[];
  /** Times that each kernel is measured. */
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

/** The model's matrices, each shape once; not those of the last layer alone, whose queries, keys and values are projected apart. */
export function tunedMatrices({ config: { text, vision }, weights, stored }: Omit<BenchTuneOptions, "rows" | "repeats">): TunedMatrix[] {
  const heads = text.heads * text.headDim;
  const keyValues = 2 * text.kvHeads * text.headDim;
  const merged = vision.hidden * vision.merge ** 2;
  const layers: [number, number][] = [
    [heads + keyValues, text.hidden],
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
  for (const { shape, dtype: given, forms } of tunedMatrices(options)) {
    const dtype = options.weights ? given : keptType(gpu, given);
    const matrices = await equalMatrices(gpu, shape, dtype);
    for (const form of forms) {
      for (const count of rows) {
        const [columns, depth] = form === "rows" ? shape : [shape[1], shape[0]];
        const sizes = { rows: count, columns, depth, dtype };
        const candidates = productCandidates(gpu, form, sizes);
        if (candidates.length < 2) continue;
        using product = new TunedProduct(gpu, { form, matrices, rows: count });
        const flops = 2 * count * columns * depth;
        const record = (plan: Plan, kernel: ProductKernel, turn: number) => product.record(plan, kernel, turn);
        const found = await race(gpu, { candidates, trusted: { variant: "tiled", tile: EXACT_TILE }, record, flops, repeats });
        const key = productKey(form, sizes);
        best.set(key, found.fastest.kernel);
        printRace(key, found, { name: nameOf, flops });
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
/** Numbers at either end of a result that are looked at, in whole rows. */
const COMPARED = 2 ** 18;

/** A product whose kernels are measured, all on the same numbers. */
class TunedProduct implements Disposable {
  readonly #inputs: Tensor[];
  readonly #out: Tensor;
  readonly #compared: Tensor[];
  readonly #nothing: Tensor;

  constructor(readonly gpu: Gpu, readonly args: { form: Form; matrices: readonly Matrix[]; rows: number }) {
    const { form, matrices: [{ rows: outputs, columns: inputs }], rows } = args;
    const [width, columns] = form === "rows" ? [inputs, outputs] : [outputs, inputs];
    const data = manyRandom(rows * width);
    this.#inputs = [0, 1].map(() => gpu.tensor([rows, width], { label: "x", data })); // two, so that none finds the other's f16 rows
    this.#out = gpu.tensor([rows, columns], { label: "y" });
    const some = [Math.min(rows, Math.ceil(COMPARED / columns)), columns];
    const last = (rows - some[0]) * columns * 4; // a view may begin there if it is a multiple of 256
    this.#compared = (last > 0 && last % 256 === 0 ? [0, last] : [0]).map((at) => this.#out.view(some, at));
    this.#nothing = gpu.tensor(some, { label: "no result", data: new Float32Array(some[0] * columns).fill(NaN) });
  }

  /** See `Contest`. */
  record(plan: Plan, kernel: ProductKernel, turn: number): Tensor[] {
    const { form, matrices } = this.args;
    const [weight, given, out] = [matrices[turn % matrices.length], this.#inputs[turn % 2], this.#out];
    if (turn === 0) this.#compared.forEach((rows) => plan.copy(this.#nothing, rows));
    if (form === "rows") linear(plan, { x: given, weight, kernel, out });
    else linearInputGradient(plan, { dy: given, weight, kernel, out });
    return this.#compared;
  }

  [Symbol.dispose](): void {
    this.gpu.destroy(...this.#inputs, this.#out, this.#nothing);
  }
}
