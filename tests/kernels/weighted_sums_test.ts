import { assert, assertEquals, assertThrows } from "@std/assert";
import { Plan } from "../../kernels/plan.ts";
import { weightedSumsReference } from "../../kernels/weighted_sums/_reference.ts";
import { weightedSums } from "../../kernels/weighted_sums/weighted_sums.ts";
import { gpuTest, randomFloats, relativeError } from "./support.ts";

gpuTest("weighted sums equal their reference, also empty ones", async (gpu) => {
  for (
    const [size, ranges] of [[1, [0, 1]], [37, [0, 5, 5, 5, 5, 37, 2, 9, 36, 37]], [
      130,
      Array.from({ length: 40 }, (_, i) => 3 * i),
    ]] as const
  ) {
    using plan = new Plan(gpu);
    const [values, weights] = [randomFloats(size, 1), randomFloats(size, 2)];
    const [a, b] = [values, weights].map((data) => plan.persistent([size], { data }));
    const table = plan.persistent([ranges.length / 2, 2], { dtype: "u32", data: Uint32Array.from(ranges) });
    const out = weightedSums(plan, { values: a, weights: b, ranges: table, out: plan.persistent([ranges.length / 2]) });
    plan.run();
    const error = relativeError(await gpu.readFloats(out), weightedSumsReference(values, { weights, ranges }));
    assert(error < 1e-6, `${size}: ${error}`);
  }
});

gpuTest("weighted sums: the place of a range does not change a bit", async (gpu) => {
  using plan = new Plan(gpu);
  const part = randomFloats(13, 3);
  const twice = Float32Array.of(...part, 7, 8, 9, ...part);
  const values = plan.persistent([29], { data: twice });
  const ranges = plan.persistent([2, 2], { dtype: "u32", data: Uint32Array.of(0, 13, 16, 29) });
  const out = weightedSums(plan, { values, weights: values, ranges, out: plan.persistent([2]) });
  plan.run();
  const [a, b] = await gpu.readFloats(out);
  assertEquals(a, b);
  assertThrows(() => weightedSums(plan, { values, weights: out, ranges }), Error);
});
