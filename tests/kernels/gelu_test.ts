import { assert, assertLess } from "@std/assert";
import { erfReference, geluReference, quickGeluReference } from "../../kernels/gelu/_reference.ts";
import { linear, type ProductVariant } from "../../kernels/linear/linear.ts";
import { linearReference } from "../../kernels/linear/_reference.ts";
import { asMatrix, destroyMatrix } from "../../kernels/linear/matrix.ts";
import { Plan } from "../../kernels/plan.ts";
import { gpuTest, productTolerance, randomFloats, relativeError } from "./support.ts";
import { randomMatrix } from "./weights_support.ts";

const REFERENCES = { gelu: geluReference, quick_gelu: quickGeluReference } as const;

for (const activation of ["gelu", "quick_gelu"] as const) {
  const reference = REFERENCES[activation];

  gpuTest(`${activation} of a product, between bias and residual, in every variant and of a sum in parts`, async (gpu) => {
    for (const [rows, inputs, outputs] of [[2, 5, 7], [4, 24, 52], [37, 512, 68]]) {
      const [x, bias, residual] = [rows * inputs, outputs, rows * outputs].map((count, i) => randomFloats(count, i + 1));
      const { matrix: weight, values } = await randomMatrix(gpu, [outputs, inputs], { dtype: "f32", seed: 4 });
      const expected = reference(linearReference(x, values, { rows, inputs, outputs, bias })).map((v, i) => v + residual[i]);
      const variants: ProductVariant[] = inputs % 4 ? ["plain"] : ["plain", "subgroup", "tiled", ...(rows <= 4 ? ["vector" as const] : [])];
      const kernels = [
        undefined,
        ...variants.map((variant) => ({ variant })),
        ...(inputs < 512 ? [] : [{ variant: "tiled" as const, splits: 2 }]),
      ];
      using plan = new Plan(gpu);
      const added = { bias: plan.persistent([outputs], { data: bias }), residual: plan.persistent([rows, outputs], { data: residual }) };
      const tx = plan.persistent([rows, inputs], { data: x });
      const results = kernels.map((kernel) =>
        linear(plan, { x: tx, weight, ...added, activation, kernel, out: plan.persistent([rows, outputs]) })
      );
      plan.run();
      for (const [i, result] of results.entries()) {
        const allowed = kernels[i] ? 1e-6 : productTolerance(gpu, "f32");
        assertLess(relativeError(await gpu.readFloats(result), expected), allowed, JSON.stringify(kernels[i]));
      }
      destroyMatrix(gpu, weight);
    }
  });

  gpuTest(`${activation} is within 1e-6 of its reference from -12 to 12 and finite beyond`, async (gpu) => {
    using plan = new Plan(gpu);
    const weight = asMatrix(plan.persistent([1, 1], { data: Float32Array.of(1) }));
    const data = Float32Array.from({ length: 24001 }, (_, i) => (i - 12000) / 1000);
    const far = Float32Array.of(-1e30, -1e4, -60, 60, 1e4, 1e30);
    const of = (data: Float32Array<ArrayBuffer>) => {
      const shape = [data.length, 1];
      return linear(plan, { x: plan.persistent(shape, { data }), weight, activation, out: plan.persistent(shape) });
    };
    const [out, outFar] = [of(data), of(far)];
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
