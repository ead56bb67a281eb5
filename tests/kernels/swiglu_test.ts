import { assert, assertLess, assertThrows } from "@std/assert";
import { linear, linearInputGradient, type ProductKernel } from "../../kernels/linear/linear.ts";
import { linearBackwardReference, linearReference } from "../../kernels/linear/_reference.ts";
import { destroyMatrix } from "../../kernels/linear/matrix.ts";
import { Plan } from "../../kernels/plan.ts";
import { swigluBackwardReference, swigluReference } from "../../kernels/swiglu/_reference.ts";
import { swiglu, swigluBackward, swigluBackwardRows, swigluRows } from "../../kernels/swiglu/swiglu.ts";
import { finiteDifference, gpuTest, productTolerance, randomFloats, relativeError } from "./support.ts";
import { randomMatrix } from "./weights_support.ts";

const SHAPES = [[1, 1], [3, 7], [5, 64], [33, 130]];

/** [gate | up] of every row. */
function fuse(left: ArrayLike<number>, right: ArrayLike<number>, columns: number): Float32Array<ArrayBuffer> {
  return Float32Array.from({ length: 2 * left.length }, (_, i) => {
    const at = Math.floor(i / columns / 2) * columns + i % columns;
    return i % (2 * columns) < columns ? left[at] : right[at];
  });
}

gpuTest("swiglu and swigluBackward equal their references", async (gpu) => {
  for (const shape of SHAPES) {
    using plan = new Plan(gpu);
    const [rows, columns] = shape;
    const [gates, ups, dys] = [1, 2, 3].map((seed) => randomFloats(rows * columns, seed + columns, { scale: 4 }));
    const dy = plan.persistent(shape, { data: dys });
    const gateUp = plan.persistent([rows, 2 * columns], { data: fuse(gates, ups, columns) });
    const out = plan.persistent(shape);
    const dgateUp = plan.persistent([rows, 2 * columns]);
    swiglu(plan, { gateUp, out });
    swigluBackward(plan, { gateUp, dy, dgateUp });
    plan.run();
    const y = swigluReference(gates, ups);
    const gradients = swigluBackwardReference(gates, ups, { dy: dys });
    const expectations = [
      [out, y],
      [dgateUp, fuse(gradients.dgate, gradients.dup, columns)],
    ] as const;
    for (const [i, [tensor, expected]] of expectations.entries()) {
      const error = relativeError(await gpu.readFloats(tensor), expected);
      assert(error < 1e-6, `result ${i} of (${shape}): ${error}`);
    }
  }
});

gpuTest("swiglu and its gradients as activations of a product: as products of the tensors, in every kernel", async (gpu) => {
  const kernels: (ProductKernel | undefined)[] = [undefined, { variant: "plain" }, { variant: "tiled" }];
  if (gpu.has("shader-f16")) kernels.push({ variant: "tiled", tile: { rows: 64, columns: 64, half: true } });
  // one held four, more than all registers hold, rows that are filled up, rows that are no fours
  for (const [rows, columns, outputs] of [[1, 4, 4], [3, 36, 8], [5, 7, 4], [2, 1300, 12], [1, 41004, 4]]) {
    const [gates, ups, dys] = [1, 2, 3].map((seed) => randomFloats(rows * columns, seed + columns, { scale: 4 }));
    const down = await randomMatrix(gpu, [outputs, columns], { dtype: "f32", seed: 4 });
    const gateUpWeight = await randomMatrix(gpu, [2 * columns, outputs], { dtype: "f32", seed: 5 });
    const { dgate, dup } = swigluBackwardReference(gates, ups, { dy: dys });
    const expected = [
      linearReference(swigluReference(gates, ups), down.values, { rows, inputs: columns, outputs }),
      linearBackwardReference(fuse(dgate, dup, columns), {
        ...{ x: new Float32Array(rows * outputs), weight: gateUpWeight.values, rows, inputs: outputs, outputs: 2 * columns },
      }).dx,
    ];
    for (const kernel of kernels) {
      if (kernel?.tile && columns % 4) continue;
      if (kernel?.variant === "plain" && columns > 2 ** 15) continue; // llvmpipe ends loops after 2^16 rounds
      using plan = new Plan(gpu);
      const gateUp = plan.persistent([rows, 2 * columns], { data: fuse(gates, ups, columns) });
      const dy = plan.persistent([rows, columns], { data: dys });
      const out = () => plan.persistent([rows, outputs]);
      const usable = columns % 4 ? undefined : kernel;
      const actual = [
        linear(plan, { x: swigluRows({ gateUp }), weight: down.matrix, kernel: usable, out: out() }),
        linearInputGradient(plan, { dy: swigluBackwardRows({ gateUp, dy }), weight: gateUpWeight.matrix, kernel: usable, out: out() }),
      ];
      plan.run();
      for (const [i, tensor] of actual.entries()) {
        const error = relativeError(await gpu.readFloats(tensor), expected[i]);
        const allowed = kernel?.tile ? 4e-3 : Math.max(1e-6 + 1e-7 * Math.sqrt(2 * columns), kernel ? 0 : productTolerance(gpu, "f32"));
        assertLess(error, allowed, `${["product", "gradient"][i]} of (${rows}, ${columns}), ${JSON.stringify(kernel)}`);
      }
    }
    for (const { matrix } of [down, gateUpWeight]) destroyMatrix(gpu, matrix);
  }
});

gpuTest("swiglu stays finite for large values", async (gpu) => {
  using plan = new Plan(gpu);
  const gates = Float32Array.of(-1e30, -1e4, -100, -88.5, 0, 88.5, 100, 1e4, 1e30);
  const ones = new Float32Array(gates.length).fill(1);
  const gateUp = plan.persistent([1, 2 * gates.length], { data: fuse(gates, ones, gates.length) });
  const dgateUp = plan.persistent(gateUp.shape);
  const out = plan.persistent([1, gates.length]);
  swiglu(plan, { gateUp, out });
  swigluBackward(plan, { gateUp, dy: plan.persistent([1, gates.length], { data: ones }), dgateUp });
  plan.run();
  const y = await gpu.readFloats(out);
  assert(y.every((v, i) => Math.abs(v - Math.max(gates[i], 0)) <= 1e-6 * Math.abs(gates[i])), String(y));
  assert((await gpu.readFloats(dgateUp)).every(Number.isFinite));
});

Deno.test("the reference's gradients equal finite differences", () => {
  const [gate, up, dy] = [1, 2, 3].map((seed) => randomFloats(12, seed));
  const { dgate, dup } = swigluBackwardReference(gate, up, { dy });
  assert(relativeError(dgate, finiteDifference((gate) => swigluReference(gate, up), gate, { dy })) < 1e-8);
  assert(relativeError(dup, finiteDifference((up) => swigluReference(gate, up), up, { dy })) < 1e-8);
});

gpuTest("shapes are checked", (gpu) => {
  using plan = new Plan(gpu);
  const gateUp = plan.persistent([2, 8]);
  assertThrows(() => swigluBackward(plan, { gateUp, dy: plan.persistent([2, 3]) }), Error, "(2, 3)");
  assertThrows(() => swiglu(plan, { gateUp: plan.persistent([2, 3]) }), Error, "equal length");
  return Promise.resolve();
});
