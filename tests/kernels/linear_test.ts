import { assert, assertLess, assertThrows } from "@std/assert";
import { linear, linearInputGradient, linearWeightGradient, type ProductVariant } from "../../kernels/linear/linear.ts";
import { createMatrix, destroyMatrix, firstRows, stack } from "../../kernels/linear/matrix.ts";
import { linearBackwardReference, linearReference } from "../../kernels/linear/_reference.ts";
import { Plan } from "../../kernels/plan.ts";
import { finiteDifference, gpuTest, productTolerance, randomFloats, relativeError } from "./support.ts";
import { randomMatrix } from "./weights_support.ts";

/** Rows, inputs, outputs: odd ones, multiples of four, whole groups of 128, less than a group, a last group that is shorter. */
const SHAPES = [
  [1, 1, 1],
  [3, 5, 7],
  [3, 131, 7],
  [1, 40, 36],
  [1, 256, 36],
  [4, 24, 52],
  [5, 12, 20],
  [37, 100, 68],
  [37, 260, 68],
  [70, 33, 130],
  [67, 132, 72],
] as const;

for (const dtype of ["f32", "bf16", "f16", "int8", "int4"] as const) {
  gpuTest(`linear, ${dtype}: forward and input gradient equal the f64 reference in every variant`, async (gpu) => {
    for (const [rows, inputs, outputs] of SHAPES) {
      const x = randomFloats(rows * inputs, 1);
      const { matrix: weight, values } = await randomMatrix(gpu, [outputs, inputs], { dtype, seed: 2 });
      const bias = randomFloats(outputs, 3);
      const residual = randomFloats(rows * outputs, 4);
      const dy = randomFloats(rows * outputs, 5);
      const expected = linearReference(x, values, { rows, inputs, outputs, bias }).map((v, i) => v + residual[i]);
      const { dx } = linearBackwardReference(dy, { x, weight: values, rows, inputs, outputs });
      const forward: ProductVariant[] = inputs % 4 ? ["plain"] : ["plain", "subgroup", "tiled", ...(rows <= 4 ? ["vector" as const] : [])];
      const backward: ProductVariant[] = inputs % 4 || outputs % 4 ? ["plain"] : ["plain", "subgroup", "tiled"];
      using plan = new Plan(gpu);
      const tx = plan.persistent([rows, inputs], { data: x });
      const tb = plan.persistent([outputs], { data: bias });
      const tr = plan.persistent([rows, outputs], { data: residual });
      const tdy = plan.persistent([rows, outputs], { data: dy });
      const ys = [undefined, ...forward].map((variant) =>
        linear(plan, { x: tx, weight, bias: tb, residual: tr, kernel: variant && { variant }, out: plan.persistent([rows, outputs]) })
      );
      const dxs = [undefined, ...backward].map((variant) =>
        linearInputGradient(plan, { dy: tdy, weight, kernel: variant && { variant }, out: plan.persistent([rows, inputs]) })
      );
      plan.run();
      for (const [results, wanted, names] of [[ys, expected, forward], [dxs, dx, backward]] as const) {
        for (const [i, result] of results.entries()) {
          const allowed = i ? 1e-6 : productTolerance(gpu, dtype); // the first is the adapter's own choice
          const what = `${names === backward ? "gradient" : "forward"} ${names[i - 1] ?? "chosen"} (${rows}, ${inputs}, ${outputs})`;
          assertLess(relativeError(await gpu.readFloats(result), wanted), allowed, what);
        }
      }
      destroyMatrix(gpu, weight);
    }
  });
}

gpuTest("linear: a matrix over the binding limit is cut into row blocks with the same result", async (gpu) => {
  const [rows, inputs, outputs] = [9, 20, 44];
  const x = randomFloats(rows * inputs, 1);
  const dy = randomFloats(rows * outputs, 2);
  const maxBlockBytes = 8 * inputs * 2 + 10;
  const { matrix: weight, values } = await randomMatrix(gpu, [outputs, inputs], { dtype: "bf16", seed: 3, maxBlockBytes });
  assert(weight.blocks.length === 6);
  using plan = new Plan(gpu);
  const y = linear(plan, { x: plan.persistent([rows, inputs], { data: x }), weight, out: plan.persistent([rows, outputs]) });
  const dx = linearInputGradient(plan, {
    dy: plan.persistent([rows, outputs], { data: dy }),
    weight,
    out: plan.persistent([rows, inputs]),
  });
  const some = firstRows(weight, 13);
  const first = linear(plan, { x: plan.persistent([rows, inputs], { data: x }), weight: some, out: plan.persistent([rows, 13]) });
  plan.run();
  assertLess(relativeError(await gpu.readFloats(y), linearReference(x, values, { rows, inputs, outputs })), productTolerance(gpu, "bf16"));
  assertLess(
    relativeError(await gpu.readFloats(dx), linearBackwardReference(dy, { x, weight: values, rows, inputs, outputs }).dx),
    productTolerance(gpu, "bf16"),
  );
  assertLess(
    relativeError(await gpu.readFloats(first), linearReference(x, values, { rows, inputs, outputs: 13 })),
    productTolerance(gpu, "bf16"),
  );
});

gpuTest("linear: rows of different storage types stacked to one matrix, an odd number of them, through a wider result", async (gpu) => {
  const [rows, inputs, outputs, width] = [6, 20, 29, 32];
  const x = randomFloats(rows * inputs, 1);
  const lower = await randomMatrix(gpu, [18, inputs], { dtype: "bf16", seed: 2 });
  const upper = await randomMatrix(gpu, [11, inputs], { dtype: "f32", seed: 3 });
  const values = [...lower.values, ...upper.values];
  const weight = stack(lower.matrix, upper.matrix);
  const dy = randomFloats(rows * width, 4);
  using plan = new Plan(gpu);
  const y = linear(plan, { x: plan.persistent([rows, inputs], { data: x }), weight, out: plan.persistent([rows, width]) });
  const dx = linearInputGradient(plan, { dy: plan.persistent([rows, width], { data: dy }), weight, out: plan.persistent([rows, inputs]) });
  plan.run();
  const cut = <T extends ArrayLike<number>>(wide: T) => Array.from(wide).filter((_, i) => i % width < outputs);
  const expected = linearBackwardReference(cut(dy), { x, weight: values, rows, inputs, outputs });
  assertLess(
    relativeError(cut(await gpu.readFloats(y)), linearReference(x, values, { rows, inputs, outputs })),
    productTolerance(gpu, "bf16"),
  );
  assertLess(relativeError(await gpu.readFloats(dx), expected.dx), productTolerance(gpu, "bf16"));
});

gpuTest("linear: weight and bias gradients add to what is there", async (gpu) => {
  for (const [rows, inputs, outputs] of [[1, 1, 1], [5, 36, 20], [7, 13, 35], [30, 64, 18]]) {
    const x = randomFloats(rows * inputs, 1);
    const dy = randomFloats(rows * outputs, 2);
    const start = randomFloats(outputs * inputs, 3);
    using plan = new Plan(gpu);
    const dweight = plan.persistent([outputs, inputs], { data: start });
    const dbias = plan.persistent([outputs]);
    linearWeightGradient(plan, {
      dy: plan.persistent([rows, outputs], { data: dy }),
      x: plan.persistent([rows, inputs], { data: x }),
      dweight,
      dbias,
    });
    plan.run();
    plan.run();
    const expected = linearBackwardReference(dy, { x, weight: new Float32Array(outputs * inputs), rows, inputs, outputs });
    assertLess(relativeError(await gpu.readFloats(dweight), expected.dweight.map((v, i) => 2 * v + start[i])), 1e-6);
    assertLess(relativeError(await gpu.readFloats(dbias), expected.dbias.map((v) => 2 * v)), 1e-6);
  }
});

Deno.test("linear: the reference's gradients are those of finite differences", () => {
  const shape = { rows: 3, inputs: 5, outputs: 4 };
  const x = randomFloats(15, 1);
  const weight = randomFloats(20, 2);
  const bias = randomFloats(4, 3);
  const dy = randomFloats(12, 4);
  const { dx, dweight, dbias } = linearBackwardReference(dy, { x, weight, ...shape });
  assertLess(relativeError(dx, finiteDifference((v) => linearReference(v, weight, shape), x, { dy })), 1e-8);
  assertLess(relativeError(dweight, finiteDifference((v) => linearReference(x, v, shape), weight, { dy })), 1e-8);
  assertLess(relativeError(dbias, finiteDifference((v) => linearReference(x, weight, { ...shape, bias: v }), bias, { dy })), 1e-8);
});

gpuTest("linear: shapes that do not fit are named", (gpu) => {
  using plan = new Plan(gpu);
  const weight = createMatrix(gpu, [4, 8]);
  assertThrows(
    () => linear(plan, { x: plan.scratch([2, 7], { label: "hidden" }), weight }),
    Error,
    '"hidden" is f32 (2, 7); expected f32 (-1, 8)',
  );
  return Promise.resolve();
});
