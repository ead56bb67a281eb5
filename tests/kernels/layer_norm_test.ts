import { assert, assertThrows } from "@std/assert";
import { layerNormReference } from "../../kernels/layer_norm/_reference.ts";
import { layerNorm } from "../../kernels/layer_norm/layer_norm.ts";
import { Plan } from "../../kernels/plan.ts";
import { gpuTest, randomFloats, relativeError } from "./support.ts";

const EPS = 1e-6;
const SHAPES = [[1, 1], [1, 1280], [3, 7], [5, 64], [9, 100], [17, 1283], [301, 20]];

gpuTest("layerNorm equals its reference", async (gpu) => {
  for (const shape of SHAPES) {
    for (const variant of [undefined, "alone", "shared"] as const) {
      using plan = new Plan(gpu);
      const [rows, columns] = shape;
      const values = randomFloats(rows * columns, columns, { mean: 3 }); // a mean beside which the spread is small
      const [weights, biases] = [randomFloats(columns, 5, { mean: 1 }), randomFloats(columns, 6)];
      const x = plan.persistent(shape, { data: values });
      const [weight, bias] = [weights, biases].map((data) => plan.persistent([columns], { data }));
      const out = plan.persistent(shape);
      layerNorm(plan, { x, weight, bias, eps: EPS, out, variant });
      plan.run();
      const error = relativeError(await gpu.readFloats(out), layerNormReference(values, weights, { bias: biases, eps: EPS }));
      assert(error < 1e-6, `(${shape}) ${variant}: ${error}`);
    }
  }
});

gpuTest("shapes are checked", (gpu) => {
  using plan = new Plan(gpu);
  const [x, weight, bias] = [plan.persistent([3, 8]), plan.persistent([8]), plan.persistent([4])];
  assertThrows(() => layerNorm(plan, { x, weight, bias, eps: EPS }), Error, "(4)");
  return Promise.resolve();
});
