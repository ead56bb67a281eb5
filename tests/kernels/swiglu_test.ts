import { assert, assertThrows } from "@std/assert";
import { Plan } from "../../kernels/plan.ts";
import { swigluBackwardReference, swigluReference } from "../../kernels/swiglu/_reference.ts";
import { swiglu, swigluBackward } from "../../kernels/swiglu/swiglu.ts";
import { finiteDifference, gpuTest, randomFloats, relativeError } from "./support.ts";

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
