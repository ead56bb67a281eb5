import { assertEquals, assertLess } from "@std/assert";
import { layerNormReference } from "../../kernels/layer_norm/_reference.ts";
import { layerNormRows } from "../../kernels/layer_norm/layer_norm.ts";
import { linearReference } from "../../kernels/linear/_reference.ts";
import { requestGpu } from "../../kernels/gpu.ts";
import { linear, type ProductKernel } from "../../kernels/linear/linear.ts";
import { destroyMatrix } from "../../kernels/linear/matrix.ts";
import { Plan } from "../../kernels/plan.ts";
import { rmsNormReference } from "../../kernels/rms_norm/_reference.ts";
import { rmsNormRows } from "../../kernels/rms_norm/rms_norm.ts";
import { gpuTest, productTolerance, randomFloats, relativeError } from "./support.ts";
import { randomMatrix } from "./weights_support.ts";

const EPS = 1e-6;

gpuTest("norms as activations of a product: as products of the normed rows, in every kernel", async (gpu) => {
  const kernels: (ProductKernel | undefined)[] = [undefined, { variant: "tiled" }];
  if (gpu.has("shader-f16")) kernels.push({ variant: "tiled", tile: { rows: 64, columns: 64, half: true } });
  // one held four, rows of very different sizes and far from zero, rows that are filled up or no fours, more than all registers hold
  for (const [rows, columns, outputs] of [[1, 4, 4], [70, 36, 8], [5, 7, 4], [2, 1300, 12], [1, 41004, 4]]) {
    const x = randomFloats(rows * columns, 1, { scale: 2, mean: 3 }).map((value, i) => value * 10 ** (Math.floor(i / columns) % 5 - 2));
    const [weight, bias] = [randomFloats(columns, 2, { mean: 1 }), randomFloats(columns, 3)];
    const { matrix, values } = await randomMatrix(gpu, [outputs, columns], { dtype: "f32", seed: 4 });
    const normed = [
      rmsNormReference(x, weight, { eps: EPS }),
      layerNormReference(x, weight, { bias, eps: EPS }),
    ];
    const expected = normed.map((rowsOf) => linearReference(rowsOf, values, { rows, inputs: columns, outputs }));
    for (const kernel of kernels) {
      if (kernel && columns % 4) continue;
      using plan = new Plan(gpu);
      const tensor = (data: Float32Array<ArrayBuffer>) => plan.persistent([data.length / columns, columns], { data });
      const vector = (data: Float32Array<ArrayBuffer>) => plan.persistent([columns], { data });
      const given = { x: tensor(x), weight: vector(weight), eps: EPS };
      const actual = [rmsNormRows(given), layerNormRows({ ...given, bias: vector(bias) })].map((rowsOf) =>
        linear(plan, { x: rowsOf, weight: matrix, kernel, out: plan.persistent([rows, outputs]) })
      );
      plan.run();
      for (const [i, result] of actual.entries()) {
        const error = relativeError(await gpu.readFloats(result), expected[i]);
        const allowed = kernel?.tile ? 4e-3 : Math.max(2e-6 + 1e-7 * Math.sqrt(columns), kernel ? 0 : productTolerance(gpu, "f32"));
        assertLess(error, allowed, `${["RMSNorm", "LayerNorm"][i]} of (${rows}, ${columns}), ${JSON.stringify(kernel)}`);
      }
    }
    destroyMatrix(gpu, matrix);
  }
});

gpuTest("norms as activations: products that take f32 share a tensor, those that take f16 rows of it", async (gpu) => {
  const [rows, columns] = [6, 64];
  const { matrix } = await randomMatrix(gpu, [8, columns], { dtype: "bf16", seed: 1 });
  const kernels: [ProductKernel, number][] = [[{ variant: "tiled", tile: { rows: 64, columns: 64, half: false } }, 3]];
  if (gpu.has("shader-f16")) kernels.push([{ variant: "tiled", tile: { rows: 64, columns: 64, half: true } }, 3]);
  for (const [kernel, dispatches] of kernels) {
    using plan = new Plan(gpu);
    const x = rmsNormRows({ x: plan.persistent([rows, columns]), weight: plan.persistent([columns]), eps: EPS });
    for (let i = 0; i < 2; i++) linear(plan, { x, weight: matrix, kernel });
    assertEquals(plan.dispatches, dispatches);
  }
  destroyMatrix(gpu, matrix);
});

Deno.test("norms as activations: products of few rows on real GPUs take the squares' norm along", async () => {
  await using gpu = await requestGpu({ software: false, precision: "f32" });
  const [columns, outputs] = [424, 12];
  const { matrix, values } = await randomMatrix(gpu, [outputs, columns], { dtype: "bf16", seed: 1 });
  const [weight, bias] = [randomFloats(columns, 2, { mean: 1 }), randomFloats(columns, 3)];
  for (const rows of [1, 4, 5]) {
    const x = randomFloats(rows * columns, 4, { scale: 30 });
    for (const name of ["RMSNorm", "LayerNorm"]) {
      using plan = new Plan(gpu);
      const given = {
        x: plan.persistent([rows, columns], { data: x }),
        weight: plan.persistent([columns], { data: weight }),
        eps: EPS,
      };
      const rowsOf = name === "RMSNorm"
        ? rmsNormRows(given)
        : layerNormRows({ ...given, bias: plan.persistent([columns], { data: bias }) });
      const out = linear(plan, { x: rowsOf, weight: matrix, out: plan.persistent([rows, outputs]) });
      assertEquals(plan.dispatches, gpu.subgroupSize > 0 && name === "RMSNorm" && rows <= 4 ? 1 : 2, `${name} of ${rows} rows`);
      plan.run();
      const normed = name === "RMSNorm" ? rmsNormReference(x, weight, { eps: EPS }) : layerNormReference(x, weight, { bias, eps: EPS });
      const expected = linearReference(normed, values, { rows, inputs: columns, outputs });
      assertLess(relativeError(await gpu.readFloats(out), expected), 2e-6, `${name} of ${rows} rows`);
    }
  }
});
