import { assert, assertThrows } from "@std/assert";
import { addReference } from "../../kernels/add/_reference.ts";
import { add } from "../../kernels/add/add.ts";
import { grid1d } from "../../kernels/grid.ts";
import { Plan } from "../../kernels/plan.ts";
import { gpuTest, randomFloats, relativeError } from "./support.ts";

gpuTest("add equals its reference, also into either summand", async (gpu) => {
  for (const shape of [[1], [3, 5], [7, 64], [300, 130]]) {
    using plan = new Plan(gpu);
    const size = shape.reduce((a, b) => a * b);
    const [left, right] = [randomFloats(size, 1), randomFloats(size, 2)];
    const [a, b, intoA, intoB] = [left, right, left, right].map((data) => plan.persistent(shape, { data }));
    const out = add(plan, { a, b, out: plan.persistent(shape) });
    add(plan, { a: intoA, b, out: intoA });
    add(plan, { a, b: intoB, out: intoB });
    plan.run();
    const expected = addReference(left, right);
    for (const tensor of [out, intoA, intoB]) {
      const error = relativeError(await gpu.readFloats(tensor), expected);
      assert(error < 1e-7, `(${shape}): ${error}`);
    }
  }
});

gpuTest("add fills grids of more than 65535 workgroups", async (gpu) => {
  using plan = new Plan(gpu);
  const size = 65536 * 64 + 65; // no multiple of 4: an invocation for every number
  const data = randomFloats(size, 3);
  const [a, b] = [plan.persistent([size], { data }), plan.persistent([size], { data })];
  add(plan, { a, b, out: a });
  plan.run();
  assert(relativeError(await gpu.readFloats(a), addReference(data, data)) < 1e-7);
});

gpuTest("add refuses other shapes and a sum that is both summands", (gpu) => {
  using plan = new Plan(gpu);
  const a = plan.persistent([2, 3]);
  assertThrows(() => add(plan, { a, b: plan.persistent([3, 2]) }), Error, "(3, 2)");
  assertThrows(() => add(plan, { a, b: a, out: a }), Error, "both summands");
  return Promise.resolve();
});

Deno.test("grid1d covers every count with at most 65535 workgroups in a dimension", () => {
  for (const count of [0, 1, 63, 64, 65, 65535 * 64, 65535 * 64 + 1, 1e9]) {
    const [x, y] = grid1d(count, 64);
    assert(x <= 65535 && y <= 65535 && x * y * 64 >= count, `${count}: ${x}, ${y}`);
    assert((x * y - y) * 64 < count || count === 0, `${count}: whole rows of workgroups without work`);
  }
  assertThrows(() => grid1d(1e13, 64), RangeError, "split");
});
