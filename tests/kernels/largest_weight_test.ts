/** Products with f16 sums where weights are so large that these would leave f16's range. */
import { assert, assertEquals, assertLess } from "@std/assert";
import { requestGpu } from "../../kernels/gpu.ts";
import { linearReference } from "../../kernels/linear/_reference.ts";
import { measureLargest } from "../../kernels/linear/largest_weight.ts";
import { linear, type ProductKernel } from "../../kernels/linear/linear.ts";
import { asMatrix, firstRows } from "../../kernels/linear/matrix.ts";
import { NO_EPILOGUE } from "../../kernels/linear/product_wgsl.ts";
import { mayLeaveHalf } from "../../kernels/linear/takes_half.ts";
import { halfPeak } from "../../kernels/linear/tile_product.ts";
import { tileProduct } from "../../kernels/linear/tile_product_wgsl.ts";
import { Plan } from "../../kernels/plan.ts";
import { randomFloats, relativeError } from "./support.ts";
import { randomMatrix } from "./weights_support.ts";

Deno.test({
  name: "largest weight: of every block of a matrix of any type, where products are in f16",
  sanitizeOps: false,
  sanitizeResources: false,
  fn: async () => {
    await using gpu = await requestGpu({ precision: "f16" });
    for (const dtype of ["bf16", "f16", "int8", "int4"] as const) {
      for (const [rows, columns] of [[1, 3], [13, 37], [9, 260]] as const) {
        const { matrix, values } = await randomMatrix(gpu, [rows, columns], { dtype, seed: 3, maxBlockBytes: 8 * 384 * 2 });
        await measureLargest(gpu, [matrix]);
        for (const { start, rows, largest } of matrix.blocks) {
          const own = values.slice(start * columns, (start + rows) * columns);
          assertEquals(
            largest,
            Math.fround(own.reduce((most, value) => Math.max(most, Math.abs(value)), 0)),
            `${dtype} (${rows}, ${columns})`,
          );
        }
        assertEquals(firstRows(matrix, 1).blocks[0].largest, matrix.blocks[0].largest);
      }
    }
    const exact = asMatrix(gpu.tensor([2, 4], { data: randomFloats(8, 1) }));
    await measureLargest(gpu, [exact]);
    assertEquals(exact.blocks[0].largest, undefined, "f32 weights stay f32");
  },
});

Deno.test({
  name: "f16 products with weights of up to 40000, all beside the largest activations, stay finite and as exact as others",
  sanitizeOps: false,
  sanitizeResources: false,
  fn: async () => {
    await using gpu = await requestGpu({ precision: "f16" });
    const [rows, inputs, outputs] = [5, 136, 12];
    const x = randomFloats(rows * inputs, 1).map((value) => 2 + 0.2 * value);
    for (const size of [100, 600, 40000]) {
      const weights = randomFloats(outputs * inputs, 2).map((value) => size * (0.9 + 0.02 * value));
      const { matrix: weight, values } = await randomMatrix(gpu, [outputs, inputs], { dtype: "bf16", values: weights });
      const product = async (precise: boolean) => {
        using plan = new Plan(gpu);
        const kernel: ProductKernel = { variant: "tiled", tile: { rows: 64, columns: 64, half: true } };
        const given = plan.persistent([rows, inputs], { data: x });
        const y = linear(plan, { x: given, weight, precise, kernel, out: plan.persistent([rows, outputs]) });
        plan.run();
        return await gpu.readFloats(y);
      };
      const expected = linearReference(x, values, { rows, inputs, outputs });
      if (size > 127) {
        assert((await product(false)).some((value) => !Number.isFinite(value)), "the weights are not large enough to see much");
      }
      await measureLargest(gpu, [weight]);
      for (const precise of [false, true]) assertLess(relativeError(await product(precise), expected), 3e-3, `weights of ${size}`);
    }
  },
});

Deno.test("weights are held in f16's range only where they may be beyond it", () => {
  assertEquals([undefined, NaN, Infinity, 65505, 65504, 0].map(mayLeaveHalf), [true, true, true, true, false, false]);
  const options = { dtype: "bf16", epilogue: NO_EPILOGUE, tile: { rows: 64, columns: 64, half: true }, split: false } as const;
  assertEquals([undefined, true, false].map((bounded) => tileProduct("rows", { ...options, bounded }).code.includes("clamp(")), [
    true,
    true,
    false,
  ]);
});

Deno.test("the peak of activations: that of most models up to weights of 127, then less, and never too much for f16", () => {
  assertEquals([undefined, 0, 1, 127.9].map((largest) => halfPeak(largest, 64)), [2, 2, 2, 2]);
  assertEquals(halfPeak(128.1, 64), 1);
  for (const summed of [16, 64]) {
    for (const largest of [200, 511, 512, 1000, 65504, Infinity, NaN]) {
      const bounded = largest <= 65504 ? largest : 65504;
      assertLess(2 ** (halfPeak(largest, summed) + 1) * bounded * summed, 65504.1);
    }
  }
});
