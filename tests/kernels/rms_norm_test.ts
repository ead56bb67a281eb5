import { assert, assertThrows } from "@std/assert";
import type { Gpu } from "../../kernels/gpu.ts";
import { Plan } from "../../kernels/plan.ts";
import { rmsNormBackwardReference, rmsNormReference } from "../../kernels/rms_norm/_reference.ts";
import { rmsNorm, rmsNormBackward } from "../../kernels/rms_norm/rms_norm.ts";
import { finiteDifference, gpuTest, randomFloats, relativeError } from "./support.ts";

const EPS = 1e-6;
const SHAPES = [[1, 1], [1, 3584], [3, 7], [5, 64], [9, 100], [17, 1283], [70, 256], [301, 20]];
const VARIANTS = [undefined, "alone", "shared"] as const;

function data(rows: number, columns: number) {
  const [x, dy, residual] = [1, 3, 4].map((seed) => randomFloats(rows * columns, seed + columns, { scale: 2, mean: 0.3 }));
  return { x, dy, residual, weight: randomFloats(columns, 9, { mean: 1 }) };
}

/** The values as resident tensors. */
function upload(plan: Plan, [rows, columns]: number[]) {
  const values = data(rows, columns);
  const tensors = Object.fromEntries(
    Object.entries(values).map(([name, data]) => [name, plan.persistent(name === "weight" ? [columns] : [rows, columns], { data })]),
  );
  return { values, tensors: tensors as Record<keyof typeof values, ReturnType<Plan["persistent"]>> };
}

async function each(gpu: Gpu, check: (plan: Plan, shape: number[], variant: typeof VARIANTS[number]) => Promise<void>): Promise<void> {
  for (const shape of SHAPES) {
    for (const variant of VARIANTS) {
      using plan = new Plan(gpu);
      await check(plan, shape, variant);
    }
  }
}

gpuTest("rmsNorm equals its reference", (gpu) =>
  each(gpu, async (plan, shape, variant) => {
    const { values, tensors: { x, weight } } = upload(plan, shape);
    const out = plan.persistent(shape);
    rmsNorm(plan, { x, weight, eps: EPS, out, variant });
    plan.run();
    const error = relativeError(await gpu.readFloats(out), rmsNormReference(values.x, values.weight, { eps: EPS }));
    assert(error < 1e-6, `(${shape}) ${variant}: ${error}`);
  }));

gpuTest("rmsNormBackward equals its reference, alone, with a residual and in place", (gpu) =>
  each(gpu, async (plan, shape, variant) => {
    const { values, tensors: { x, weight, dy, residual } } = upload(plan, shape);
    const [plain, added] = [plan.persistent(shape), plan.persistent(shape)];
    const inPlace = plan.persistent(shape, { data: values.residual });
    rmsNormBackward(plan, { x, weight, dy, eps: EPS, out: plain, variant });
    rmsNormBackward(plan, { x, weight, dy, eps: EPS, residual, out: added, variant });
    rmsNormBackward(plan, { x, weight, dy, eps: EPS, residual: inPlace, out: inPlace, variant });
    plan.run();
    const dx = rmsNormBackwardReference(values.x, values.weight, { dy: values.dy, eps: EPS });
    const sum = dx.map((v, i) => v + values.residual[i]);
    // A row of one number has a gradient of nearly 0: the two terms cancel, so only its absolute error says anything.
    const error = async (tensor: typeof plain, expected: Float64Array) => {
      const actual = await gpu.readFloats(tensor);
      return shape[1] === 1 ? Math.max(...actual.map((v, i) => Math.abs(v - expected[i]))) : relativeError(actual, expected);
    };
    for (const [tensor, expected] of [[plain, dx], [added, sum], [inPlace, sum]] as const) {
      assert(await error(tensor, expected) < 1e-6, `(${shape}) ${variant}: ${await error(tensor, expected)}`);
    }
  }));

Deno.test("the reference's backward equals finite differences", () => {
  const { x, dy, weight } = data(3, 5);
  const expected = finiteDifference((x) => rmsNormReference(x, weight, { eps: 0.1 }), x, { dy });
  const error = relativeError(rmsNormBackwardReference(x, weight, { dy, eps: 0.1 }), expected);
  assert(error < 1e-8, String(error));
});

gpuTest("shapes are checked", (gpu) => {
  using plan = new Plan(gpu);
  const x = plan.persistent([3, 8]);
  assertThrows(() => rmsNorm(plan, { x, weight: plan.persistent([7]), eps: EPS }), Error, "(7)");
  return Promise.resolve();
});
