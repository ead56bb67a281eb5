/** Measures every kernel that a product of a model might use on this adapter, and keeps the fastest. */
import type { Gpu } from "../../kernels/gpu.ts";
import { linear, linearInputGradient } from "../../kernels/linear/linear.ts";
import { destroyMatrix, type Matrix } from "../../kernels/linear/matrix.ts";
import { productCandidates, type ProductKernel, productKey, type ProductShape, rowStep } from "../../kernels/linear/product_choice.ts";
import type { Form } from "../../kernels/linear/product_wgsl.ts";
import { matrixTileName } from "../../kernels/linear/subgroup_matrix_wgsl.ts";
import { tileName } from "../../kernels/linear/tile_product_wgsl.ts";
import type { WeightType } from "../../kernels/linear/weight_types.ts";
import { Plan } from "../../kernels/plan.ts";
import type { Qwen2VlConfig } from "../../pipeline/qwen2_vl/config.ts";
import { matrixType } from "../../pipeline/qwen2_vl/quantize.ts";
import { saveTuning } from "../../pipeline/tuning.ts";
import { randomFloats } from "../kernels/support.ts";
import { randomMatrix } from "./products.ts";
import { median } from "./support.ts";

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

/** Measures, prints a row for each product, and writes what `tasks/` reads when it opens the GPU. */
export async function benchTune(gpu: Gpu, options: BenchTuneOptions): Promise<void> {
  const { rows, repeats } = options;
  const best = new Map<string, ProductKernel>();
  console.log("| product | until now | fastest | TFLOP/s | gain |\n|---|---|---|---|---|");
  for (const { shape, dtype, forms } of tunedMatrices(options)) {
    const matrix = randomMatrix(gpu, shape, dtype);
    for (const form of forms) {
      for (const count of new Set(rows.map(rowStep))) {
        const [columns, depth] = form === "rows" ? shape : [shape[1], shape[0]];
        const sizes = { rows: count, columns, depth, dtype };
        const { first, fastest, candidates } = await race(gpu, { form, matrix, sizes, repeats });
        if (candidates > 1) best.set(productKey(form, sizes), fastest.kernel);
        const rate = 2 * count * columns * depth / fastest.milliseconds / 1e9;
        const gain = first.milliseconds / fastest.milliseconds;
        console.log(
          `| ${productKey(form, sizes)} | ${nameOf(first.kernel)} | ${nameOf(fastest.kernel)} | ${Number(rate.toPrecision(3))} | ${
            gain.toFixed(2)
          } |`,
        );
      }
    }
    destroyMatrix(gpu, matrix);
  }
  console.log(`\nWritten: ${await saveTuning(gpu, best)}`);
}

/** A measurement. */
interface Timed {
  kernel: ProductKernel;
  milliseconds: number;
}

/** Slower than the fastest by this factor in the first measurement is out of the race. */
const OUT = 1.3;

/** Every candidate once, then those that may be the fastest as often as wanted, with the one that is taken without a measurement. */
async function race(
  gpu: Gpu,
  options: { form: Form; matrix: Matrix; sizes: ProductShape; repeats: number },
): Promise<{ first: Timed; fastest: Timed; candidates: number }> {
  const { form, matrix, sizes, repeats } = options;
  const least = (times: Timed[]) => times.reduce((a, b) => b.milliseconds < a.milliseconds ? b : a);
  const time = async (kernels: ProductKernel[], repeats: number) => {
    const times: Timed[] = [];
    for (const kernel of kernels) {
      times.push({ kernel, milliseconds: await measure(gpu, { form, matrix, rows: sizes.rows, kernel, repeats }) });
    }
    return times;
  };
  const once = await time(productCandidates(gpu, form, sizes), 1);
  const bound = OUT * least(once).milliseconds;
  const times = await time(once.filter(({ milliseconds }, i) => i === 0 || milliseconds <= bound).map(({ kernel }) => kernel), repeats);
  return { first: times[0], fastest: least(times), candidates: once.length };
}

/** A kernel in a few words. */
function nameOf({ variant, tile, matrixTile, threads, splits = 1 }: ProductKernel): string {
  const own = tile ? ` ${tileName(tile)}` : matrixTile ? ` ${matrixTileName(matrixTile)}` : threads ? ` by ${threads}` : "";
  return `${variant.replace("_", " ")}${own}${splits > 1 ? ` / ${splits}` : ""}`;
}

/** Milliseconds of one product by time stamps; the median. */
async function measure(
  gpu: Gpu,
  args: { form: Form; matrix: Matrix; rows: number; kernel: ProductKernel; repeats: number },
): Promise<number> {
  const { form, matrix, rows, kernel, repeats } = args;
  using plan = new Plan(gpu, "tune");
  const width = form === "rows" ? matrix.columns : matrix.rows;
  const x = plan.persistent([rows, width], { data: randomFloats(rows * width, 1) });
  if (form === "rows") linear(plan, { x, weight: matrix, kernel, out: plan.persistent([rows, matrix.rows]) });
  else linearInputGradient(plan, { dy: x, weight: matrix, kernel, out: plan.persistent([rows, matrix.columns]) });
  const times: number[] = [];
  for (let i = 0; i <= repeats; i++) {
    const entries = await plan.profile();
    if (i > 0) times.push(entries.reduce((sum, { milliseconds }) => sum + milliseconds, 0)); // the first warms up
  }
  return median(times);
}
