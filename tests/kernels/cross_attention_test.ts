import { assertEquals, assertLess } from "@std/assert";
import { type CrossAttentionArrays, crossAttentionReference } from "../../kernels/cross_attention/_reference.ts";
import { crossAttention, crossAttentionBackward, type CrossAttentionParameters } from "../../kernels/cross_attention/cross_attention.ts";
import { advanceGeneration, generationState } from "../../kernels/generation_state/generation_state.ts";
import { advanceGenerationReference } from "../../kernels/generation_state/_reference.ts";
import { scatterRowsReference } from "../../kernels/scatter_rows/_reference.ts";
import { scatterRows } from "../../kernels/scatter_rows/scatter_rows.ts";
import { Plan } from "../../kernels/plan.ts";
import { finiteDifference, gpuTest, randomFloats, relativeError } from "./support.ts";

const SHAPES: [number, number, number][] = [[1, 1, 4], [5, 25, 24], [5, 15, 12], [3, 31, 10], [5, 28, 16]];

gpuTest("crossAttention: z, weights and every gradient equal PyTorch's form in f64", async (gpu) => {
  for (const [n, count, size] of SHAPES) {
    const arrays: CrossAttentionArrays = {
      queries: randomFloats(n * size, 1),
      inWeight: randomFloats(3 * size * size, 2, { scale: 0.4 }),
      inBias: randomFloats(3 * size, 3),
      outWeight: randomFloats(size * size, 4, { scale: 0.4 }),
      outBias: randomFloats(size, 5),
    };
    const features = randomFloats(count * size, 6);
    const dz = randomFloats(n * size, 7);
    using plan = new Plan(gpu);
    const part = (name: keyof CrossAttentionArrays, i: number, shape: number[]) => {
      const length = shape.reduce((a, b) => a * b, 1);
      return plan.persistent(shape, { data: Float32Array.from(arrays[name]).slice(i * length, (i + 1) * length) });
    };
    const square = [size, size];
    const parameters: CrossAttentionParameters = {
      queries: part("queries", 0, [n, size]),
      wq: part("inWeight", 0, square),
      wk: part("inWeight", 1, square),
      wv: part("inWeight", 2, square),
      wo: part("outWeight", 0, square),
      bq: part("inBias", 0, [size]),
      bv: part("inBias", 2, [size]),
      bo: part("outBias", 0, [size]),
    };
    const gradients = Object.fromEntries(
      Object.entries(parameters).map(([name, tensor]) => [name, plan.persistent(tensor.shape)]),
    ) as unknown as CrossAttentionParameters;
    const { z, trace } = crossAttention(plan, {
      parameters,
      features: plan.persistent([count, size], { data: features }),
      out: plan.persistent([n, size]),
      attention: plan.persistent([n, count]),
    });
    crossAttentionBackward(plan, { parameters, gradients, dz: plan.persistent([n, size], { data: dz }), trace });
    plan.run();
    const expected = crossAttentionReference(arrays, features, size);
    assertLess(relativeError(await gpu.readFloats(z), expected.z), 2e-6);
    assertLess(relativeError(await gpu.readFloats(trace.attention), expected.attention), 2e-6);
    const differences = (name: keyof CrossAttentionArrays) =>
      finiteDifference((x) => crossAttentionReference({ ...arrays, [name]: x }, features, size).z, arrays[name], { dy: dz });
    const inWeight = differences("inWeight");
    const inBias = differences("inBias");
    const all: [keyof CrossAttentionParameters, Float64Array][] = [
      ["queries", differences("queries")],
      ["wq", inWeight.slice(0, size * size)],
      ["wk", inWeight.slice(size * size, 2 * size * size)],
      ["wv", inWeight.slice(2 * size * size)],
      ["wo", differences("outWeight")],
      ["bq", inBias.slice(0, size)],
      ["bv", inBias.slice(2 * size)],
      ["bo", differences("outBias")],
    ];
    for (const [name, gradient] of all) {
      const nothing = count === 1 && ["queries", "wq", "wk", "bq"].includes(name); // one key: its weight is always 1
      const actual = await gpu.readFloats(gradients[name]);
      if (nothing) assertEquals(actual.every((x) => Math.abs(x) < 1e-6), true, name);
      else assertLess(relativeError(actual, gradient), 2e-5, `${name} (${n}, ${count}, ${size})`);
    }
    assertLess(
      relativeError([0], [Math.max(...inBias.slice(size, 2 * size).map(Math.abs)) < 1e-7 ? 0 : 1]),
      1e-9,
      "the key bias does nothing",
    );
  }
});

gpuTest("scatterRows writes rows to their places and leaves the others", async (gpu) => {
  for (const [rows, width, count] of [[1, 1, 1], [3, 7, 9], [5, 64, 11]]) {
    const source = randomFloats(rows * width, 1);
    const out = randomFloats(count * width, 2);
    const index = Uint32Array.from({ length: rows }, (_, i) => i === 1 ? 0xffffffff : (i * 2) % count);
    using plan = new Plan(gpu);
    const target = plan.persistent([count, width], { data: out });
    scatterRows(plan, {
      source: plan.persistent([rows, width], { data: source }),
      index: plan.persistent([rows], { dtype: "u32", data: index }),
      out: target,
    });
    plan.run();
    assertEquals([...await gpu.readFloats(target)], [...scatterRowsReference(source, { index, out, width })]);
  }
});

gpuTest("generation state: stores, then moves on, and never writes behind the last token", async (gpu) => {
  const sequences = 3;
  using plan = new Plan(gpu);
  using first = new Plan(gpu);
  const state = generationState(plan, { sequences, maxNewTokens: 2 });
  const next = plan.persistent([sequences], { dtype: "u32" });
  advanceGeneration(first, { next, state, storeOnly: true });
  advanceGeneration(plan, { next, state });
  let plain = {
    ids: [0, 0, 0],
    positions: [7, 7, 7, 8, 8, 8, 9, 9, 9],
    ranges: [0, 8, 8, 17, 17, 27],
    cacheRow: [7, 16, 26],
    step: 0,
    generated: [[0, 0], [0, 0], [0, 0]],
  };
  gpu.write(state.positions, Uint32Array.from(plain.positions));
  gpu.write(state.ranges, Uint32Array.from(plain.ranges));
  gpu.write(state.cacheRow, Uint32Array.from(plain.cacheRow));
  for (const [i, tokens] of [[4, 5, 6], [1, 2, 3], [7, 8, 9]].entries()) {
    gpu.write(next, Uint32Array.from(tokens));
    (i === 0 ? first : plan).run();
    plain = advanceGenerationReference(plain, tokens, i === 0);
    const { ids, positions, ranges, cacheRow, step, generated } = state;
    const read = await gpu.read(ids, positions, ranges, cacheRow, step, generated);
    const [a, b, c, d, e, f] = read.map((bytes) => [...new Uint32Array(bytes.buffer)]);
    assertEquals({ ids: a, positions: b, ranges: c, cacheRow: d, step: e[0], generated: f }, {
      ...plain,
      generated: plain.generated.flat(),
    });
  }
});
