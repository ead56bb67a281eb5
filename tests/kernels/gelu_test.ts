import { assert, assertThrows } from "@std/assert";
import { erfReference, geluReference, quickGeluReference } from "../../kernels/gelu/_reference.ts";
import { gelu, quickGelu } from "../../kernels/gelu/gelu.ts";
import { Plan } from "../../kernels/plan.ts";
import { gpuTest, randomFloats, relativeError } from "./support.ts";

const OPS = [{ op: gelu, reference: geluReference }, { op: quickGelu, reference: quickGeluReference }];

for (const { op, reference } of OPS) {
  gpuTest(`${op.name} equals its reference, also in place`, async (gpu) => {
    for (const shape of [[1], [3, 7], [5, 64], [123, 33]]) {
      using plan = new Plan(gpu);
      const data = randomFloats(shape.reduce((a, b) => a * b), shape.length, { scale: 2 });
      const [x, inPlace] = [plan.persistent(shape, { data }), plan.persistent(shape, { data })];
      const out = op(plan, { x, out: plan.persistent(shape) });
      op(plan, { x: inPlace, out: inPlace });
      plan.run();
      for (const tensor of [out, inPlace]) {
        const error = relativeError(await gpu.readFloats(tensor), reference(data));
        assert(error < 1e-6, `(${shape}): ${error}`);
      }
    }
  });

  gpuTest(`${op.name} is within 1e-6 of its reference from -12 to 12 and finite beyond`, async (gpu) => {
    using plan = new Plan(gpu);
    const data = Float32Array.from({ length: 24001 }, (_, i) => (i - 12000) / 1000);
    const far = Float32Array.of(-1e30, -1e4, -60, 60, 1e4, 1e30);
    const out = op(plan, { x: plan.persistent([data.length], { data }), out: plan.persistent([data.length]) });
    const outFar = op(plan, { x: plan.persistent([far.length], { data: far }), out: plan.persistent([far.length]) });
    plan.run();
    const [y, expected, yFar] = [await gpu.readFloats(out), reference(data), await gpu.readFloats(outFar)];
    // 1e-6 absolute, relative where the result is larger than 1.
    const worst = y.reduce((worst, v, i) => Math.max(worst, Math.abs(v - expected[i]) / Math.max(1, Math.abs(expected[i]))), 0);
    assert(worst < 1e-6, String(worst));
    assert(yFar.every((v, i) => Math.abs(v - Math.max(far[i], 0)) <= 1e-6 * Math.abs(far[i])), String(yFar));
  });
}

Deno.test("the reference's erf has the published values", () => {
  // Abramowitz and Stegun, table 7.1
  for (const [x, value] of [[0, 0], [0.5, 0.5204998778], [1, 0.8427007929], [2, 0.995322265], [-1, -0.8427007929], [7, 1]]) {
    assert(Math.abs(erfReference(x) - value) < 1e-10, `erf(${x}) = ${erfReference(x)}`);
  }
});

gpuTest("gelu checks shapes", (gpu) => {
  using plan = new Plan(gpu);
  assertThrows(() => gelu(plan, { x: plan.persistent([2, 3]), out: plan.persistent([6]) }), Error, "(2, 3)");
  return Promise.resolve();
});
