/** Matrix products at the sizes of the demo and of the 7B model, in GFLOP/s. */
import type { Gpu } from "../../kernels/gpu.ts";
import { linear, linearInputGradient } from "../../kernels/linear/linear.ts";
import { createMatrix, destroyMatrix, type Matrix, type WeightType, writeMatrix } from "../../kernels/linear/matrix.ts";
import { isQuantized } from "../../kernels/linear/weight_types.ts";
import { Plan } from "../../kernels/plan.ts";
import { quantizeRows } from "../../kernels/quantize/quantize.ts";
import { type BenchOptions, manyRandom, median } from "./support.ts";

const DEMO: [number, number, number][] = [[40, 1024, 192], [184, 1024, 192], [184, 192, 512], [1, 1024, 192]];
const LARGE: [number, number, number][] = [[1024, 18944, 3584], [1024, 3584, 18944], [448, 3584, 3584], [64, 18944, 3584], [
  1,
  18944,
  3584,
]];

/** Runs the benchmark. */
export async function benchProducts(gpu: Gpu, options: BenchOptions): Promise<void> {
  const types: WeightType[] = ["f32", "bf16", "int8", "int4"];
  console.log("rows x outputs x inputs, forward and input gradient, GFLOP/s (medians)");
  for (const [rows, outputs, inputs] of gpu.software ? DEMO : LARGE) {
    const cells: string[] = [];
    for (const dtype of types) {
      const weight = randomMatrix(gpu, [outputs, inputs], dtype);
      const forward = await rate(gpu, {
        rows,
        outputs,
        inputs,
        steps: options.steps,
        record: (plan, x) => linear(plan, { x, weight }),
        width: inputs,
      });
      const backward = await rate(gpu, {
        rows,
        outputs,
        inputs,
        steps: options.steps,
        record: (plan, dy) => linearInputGradient(plan, { dy, weight }),
        width: outputs,
      });
      cells.push(`${dtype} ${forward.toFixed(1)} / ${backward.toFixed(1)}`);
      destroyMatrix(gpu, weight);
    }
    console.log(`${`${rows}x${outputs}x${inputs}`.padEnd(18)} ${cells.join("   ")}`);
  }
}

/** A matrix (N, K) of random weights. */
export function randomMatrix(gpu: Gpu, shape: [number, number], dtype: WeightType): Matrix {
  const matrix = createMatrix(gpu, shape, { dtype });
  if (isQuantized(dtype)) {
    using plan = new Plan(gpu, "weights");
    quantizeRows(plan, { source: plan.persistent(shape, { data: manyRandom(shape[0] * shape[1]) }), target: matrix, firstRow: 0 });
    plan.run();
  } else writeMatrix(gpu, matrix, { data: new Uint8Array(manyRandom(shape[0] * shape[1], dtype).buffer) });
  return matrix;
}

async function rate(
  gpu: Gpu,
  options: {
    rows: number;
    outputs: number;
    inputs: number;
    width: number;
    steps: number;
    record: (plan: Plan, x: ReturnType<Plan["persistent"]>) => unknown;
  },
): Promise<number> {
  const { rows, outputs, inputs, width, steps, record } = options;
  using plan = new Plan(gpu, "products");
  const x = plan.persistent([rows, width], { data: manyRandom(rows * width) });
  for (let i = 0; i < steps; i++) record(plan, x);
  plan.run();
  await gpu.sync();
  const times: number[] = [];
  for (let i = 0; i < 7; i++) {
    const begin = performance.now();
    plan.run();
    await gpu.sync();
    times.push((performance.now() - begin) / steps);
  }
  return 2 * rows * outputs * inputs / median(times) / 1e6;
}
