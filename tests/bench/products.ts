/** Matrix products at the sizes of the demo and of the 7B model, in GFLOP/s. */
import type { Gpu } from "../../kernels/gpu.ts";
import { linear, linearInputGradient } from "../../kernels/linear/linear.ts";
import { createMatrix, type WeightType, writeMatrix } from "../../kernels/linear/matrix.ts";
import { Plan } from "../../kernels/plan.ts";
import { type BenchOptions, median } from "./support.ts";

const DEMO: [number, number, number][] = [[40, 1024, 192], [184, 1024, 192], [184, 192, 512], [1, 1024, 192]];
const LARGE: [number, number, number][] = [[1024, 18944, 3584], [1024, 3584, 18944], [448, 3584, 3584], [64, 18944, 3584], [
  1,
  18944,
  3584,
]];

/** Runs the benchmark. */
export async function benchProducts(gpu: Gpu, options: BenchOptions): Promise<void> {
  const types: WeightType[] = ["f32", "bf16"];
  console.log("rows x outputs x inputs, forward and input gradient, GFLOP/s (medians)");
  for (const [rows, outputs, inputs] of gpu.software ? DEMO : LARGE) {
    const cells: string[] = [];
    for (const dtype of types) {
      const values = Float32Array.from({ length: outputs * inputs }, () => Math.random() - 0.5);
      const bytes = dtype === "f32"
        ? new Uint8Array(values.buffer)
        : new Uint8Array(Uint16Array.from(new Uint32Array(values.buffer), (b) => b >>> 16).buffer);
      const weight = createMatrix(gpu, [outputs, inputs], { dtype });
      writeMatrix(gpu, weight, { data: bytes });
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
      gpu.destroy(...weight.blocks.map(({ tensor }) => tensor));
    }
    console.log(`${`${rows}x${outputs}x${inputs}`.padEnd(18)} ${cells.join("   ")}`);
  }
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
  const x = plan.persistent([rows, width], { data: Float32Array.from({ length: rows * width }, () => Math.random() - 0.5) });
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
