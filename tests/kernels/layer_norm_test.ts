import { assert, assertThrows } from "@std/assert";
import { layerNormReference } from "../../kernels/layer_norm/_reference.ts";
import { addLayerNorm, layerNorm } from "../../kernels/layer_norm/layer_norm.ts";
import { Plan } from "../../kernels/plan.ts";
import { gpuTest, randomFloats, relativeError } from "./support.ts";

const EPS = 1e-6;
const SHAPES = [[1, 1], [1, 1280], [3, 7], [5, 64], [9, 100], [17, 1283], [301, 20]];

gpuTest("layerNorm and addLayerNorm equal their reference", async (gpu) => {
  for (const shape of SHAPES) {
    for (const variant of [undefined, "alone", "shared"] as const) {
      using plan = new Plan(gpu);
      const [rows, columns] = shape;
      const values = randomFloats(rows * columns, columns, { mean: 3 }); // a mean beside which the spread is small
      const deltas = randomFloats(rows * columns, columns + 1);
      const [weights, biases] = [randomFloats(columns, 5, { mean: 1 }), randomFloats(columns, 6)];
      const [x, delta] = [values, deltas].map((data) => plan.persistent(shape, { data }));
      const [weight, bias] = [weights, biases].map((data) => plan.persistent([columns], { data }));
      const [out, sum, outOfSum] = [1, 2, 3].map(() => plan.persistent(shape));
      layerNorm(plan, { x, weight, bias, eps: EPS, out, variant });
      addLayerNorm(plan, { x, delta, weight, bias, eps: EPS, sum, out: outOfSum, variant });
      plan.run();
      const error = relativeError(await gpu.readFloats(out), layerNormReference(values, weights, { bias: biases, eps: EPS }));
      assert(error < 1e-6, `(${shape}) ${variant}: ${error}`);
      const sums = values.map((v, i) => v + deltas[i]);
      assert(relativeError(await gpu.readFloats(sum), sums) === 0, `sum (${shape}) ${variant}`);
      const second = relativeError(await gpu.readFloats(outOfSum), layerNormReference(sums, weights, { bias: biases, eps: EPS }));
      assert(second < 1e-6, `of the sum (${shape}) ${variant}: ${second}`);
    }
  }
});

gpuTest("shapes are checked", (gpu) => {
  using plan = new Plan(gpu);
  const [x, weight, bias] = [plan.persistent([3, 8]), plan.persistent([8]), plan.persistent([4])];
  assertThrows(() => layerNorm(plan, { x, weight, bias, eps: EPS }), Error, "(4)");
  return Promise.resolve();
});
