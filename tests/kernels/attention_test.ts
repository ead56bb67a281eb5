import { assert, assertEquals, assertLess, assertThrows } from "@std/assert";
import { attentionBackwardReference, attentionReference } from "../../kernels/attention/_reference.ts";
import { attention } from "../../kernels/attention/attention.ts";
import { attentionBackward } from "../../kernels/attention/attention_backward.ts";
import { joinAttention } from "../../kernels/attention/join_attention.ts";
import { invertRanges } from "../../kernels/attention/key_ranges.ts";
import { causalRanges, fullRanges } from "./key_ranges.ts";
import { backwardCandidates, backwardKernel, forwardKernel } from "../../kernels/attention/attention_choice.ts";
import type { AttentionVariant } from "../../kernels/attention/operands.ts";
import { type Gpu, requestGpu } from "../../kernels/gpu.ts";
import { Plan } from "../../kernels/plan.ts";
import type { TileColumns } from "../../kernels/attention/tiled_wgsl.ts";
import { CACHE, type Case, compute, operands, PACKED } from "./attention_support.ts";
import { finiteDifference, gpuTest, randomFloats, relativeError } from "./support.ts";

const NAMES = ["out", "lse", "dq", "dk", "dv"];

/** Compares with the reference. */
async function check(
  gpu: Gpu,
  variant: AttentionVariant,
  item: Case & { backward?: boolean; columns?: TileColumns; causal?: boolean },
): Promise<void> {
  const made = operands(item);
  const dout = randomFloats(made.q.length, 4);
  const actual = await compute(gpu, made, { variant, columns: item.columns, causal: item.causal, dout: item.backward ? dout : undefined });
  const { out, lse } = attentionReference(made);
  const { dq, dk, dv } = attentionBackwardReference(made, dout);
  actual.forEach((values, i) => {
    const expected = [out, lse, dq, dk, dv][i];
    // With a single key dq and dk are exactly zero: then only rounding may be left.
    const error = expected.some((x) => x !== 0) ? relativeError(values, expected) : Math.max(...values.map(Math.abs));
    const { heads, kvHeads, headDim, keys } = item;
    assert(error < 1e-6, `${NAMES[i]} of ${variant}, ${made.ranges.length / 2} rows, ${[keys, heads, kvHeads, headDim]}: ${error}`);
  });
}

const ONE = new Uint32Array([0, 1]);
const ODD = { heads: 6, kvHeads: 2, headDim: 20 };
/** A shape for each variant; few of them, since compiling takes most of the time. 68 = 64 + 4 takes every path of the tiled kernels. */
const SHAPES = { software: ODD, tiled: { heads: 6, kvHeads: 2, headDim: 68 }, decode: ODD };

for (const variant of ["software", "tiled"] as const) {
  gpuTest(`attention (${variant}) and its gradients equal the reference`, async (gpu) => {
    const shape = SHAPES[variant];
    await check(gpu, variant, { ranges: PACKED, keys: 77, ...shape, backward: true, causal: true });
    await check(gpu, variant, { ranges: ONE, keys: 1, ...shape, backward: true });
    await check(gpu, variant, { ranges: CACHE, keys: 301, ...shape, backward: true });
    await check(gpu, variant, { ranges: fullRanges({ segments: [9, 64] }), keys: 73, ...shape, backward: true });
  });
}

gpuTest("attention (software) equals the reference at other head sizes", async (gpu) => {
  await check(gpu, "software", { ranges: PACKED, keys: 77, heads: 6, kvHeads: 2, headDim: 32, backward: true });
  await check(gpu, "software", { ranges: PACKED, keys: 77, heads: 7, kvHeads: 1, headDim: 16 });
  await check(gpu, "software", { ranges: PACKED, keys: 77, heads: 2, kvHeads: 2, headDim: 80, backward: true });
  await check(gpu, "software", { ranges: CACHE, keys: 301, heads: 3, kvHeads: 1, headDim: 128 });
});

gpuTest("attention (tiled) equals the reference at a head size of 128", async (gpu) => {
  await check(gpu, "tiled", { ranges: CACHE, keys: 301, heads: 7, kvHeads: 1, headDim: 128 });
});

gpuTest("attention (tiled) equals the reference however many columns a tile has", async (gpu) => {
  for (const columns of [64, 128] as const) {
    await check(gpu, "tiled", { ranges: CACHE, keys: 301, ...ODD, columns });
  }
});

gpuTest("attention (decode) equals the reference", async (gpu) => {
  for (const shape of [ODD, { heads: 2, kvHeads: 1, headDim: 128 }]) {
    await check(gpu, "decode", { ranges: CACHE, keys: 301, ...shape });
    await check(gpu, "decode", { ranges: ONE, keys: 1, ...shape });
  }
});

gpuTest("attention over two ranges, joined, equals that over both, however different their scores", async (gpu) => {
  const [rows, heads, headDim] = [13, 4, 12];
  for (const spread of [1, 60]) {
    const both = Uint32Array.from({ length: 2 * rows }, (_, i) => i % 2 ? 30 + i : i >> 2);
    const made = operands({ ranges: both, keys: 60, heads, kvHeads: 2, headDim, spread });
    using plan = new Plan(gpu);
    const tensor = (data: ArrayLike<number>, width: number) =>
      plan.persistent([data.length / width, width], { data: data as Float32Array });
    const [q, k, v] = [tensor(made.q, heads * headDim), tensor(made.k, 2 * headDim), tensor(made.v, 2 * headDim)];
    const over = (part: number) => {
      const ranges = both.map((bound, i) => i % 2 === part ? bound : 10 + (i >> 2)); // they meet at 10 + half the row
      const own = plan.persistent([rows, 2], { dtype: "u32", data: ranges });
      return attention(plan, { q, k, v, ranges: own, heads, kvHeads: 2, headDim, scale: made.scale, lse: true });
    };
    const joined = joinAttention(plan, over(0), over(1));
    const kept = plan.persistent(joined.shape);
    plan.copy(joined, kept);
    plan.run();
    assertLess(relativeError(await gpu.readFloats(kept), attentionReference(made).out), 1e-5, `scores ${spread} times as large`);
  }
});

gpuTest("attention over two ranges: a part without the logarithms of its sums is refused", (gpu) => {
  using plan = new Plan(gpu);
  const part = { out: plan.persistent([3, 8]), lse: plan.persistent([3, 2]) };
  assertThrows(() => joinAttention(plan, part, { out: part.out }), Error, "both parts need their lse");
  assertThrows(() => joinAttention(plan, part, { ...part, lse: plan.persistent([3, 1]) }), Error, "(3, 1)");
  return Promise.resolve();
});

gpuTest("long rows and large scores keep their precision", async (gpu) => {
  const long = { heads: 1, kvHeads: 1, headDim: 20 };
  await check(gpu, "software", { ranges: causalRanges({ segments: [1501] }), keys: 1501, ...long });
  // Scores of about ±300, far beyond what exp takes without the running maximum; single weights carry their rounding.
  for (const variant of ["software", "tiled", "decode"] as const) {
    const made = operands({ ranges: CACHE, keys: 301, ...SHAPES[variant], spread: 100 });
    const { out } = attentionReference(made);
    const [actual] = await compute(gpu, made, { variant });
    const error = relativeError(actual, out);
    assert(error < 1e-4, `${variant}: ${error}`);
  }
});

for (const variant of ["software", "tiled"] as const) {
  gpuTest(`q, k and v may be columns of one tensor, dk and dv are side by side (${variant})`, async (gpu) => {
    const { heads, kvHeads, headDim } = SHAPES[variant];
    const rows = 77;
    const [queryWidth, keyWidth] = [heads * headDim, kvHeads * headDim];
    const width = queryWidth + 2 * keyWidth;
    const values = randomFloats(rows * width, 5);
    const columns = (data: Float32Array, first: number, count: number) =>
      Float32Array.from({ length: rows * count }, (_, i) => data[Math.floor(i / count) * width + first + i % count]);
    const q = columns(values, 0, queryWidth);
    const [k, v] = [queryWidth, queryWidth + keyWidth].map((first) => columns(values, first, keyWidth));
    const gradient = randomFloats(rows * queryWidth, 6);
    const { dq, dk, dv } = attentionBackwardReference({ q, k, v, ranges: PACKED, heads, kvHeads, headDim, scale: 0.1 }, gradient);
    using plan = new Plan(gpu);
    const fused = plan.persistent([rows, width], { data: values });
    const args = {
      q: fused,
      k: fused,
      v: fused,
      kOffset: queryWidth,
      vOffset: queryWidth + keyWidth,
      ranges: plan.persistent([rows, 2], { dtype: "u32", data: PACKED }),
      heads,
      kvHeads,
      headDim,
      scale: 0.1,
      variant,
    };
    const { out, lse } = attention(plan, { ...args, lse: true });
    const dout = plan.persistent([rows, queryWidth], { data: gradient });
    const keyRanges = plan.persistent([rows, 2], { dtype: "u32", data: invertRanges(PACKED, rows) });
    const gradients = attentionBackward(plan, { ...args, out, lse: lse!, dout, keyRanges });
    const kept = [plan.persistent([rows, queryWidth]), plan.persistent([rows, 2 * keyWidth])];
    [gradients.dq, gradients.dkv].forEach((tensor, i) => plan.copy(tensor, kept[i]));
    plan.run();
    const first = await gpu.read(...kept);
    const joined = Float64Array.from({ length: 2 * dk.length }, (_, i) => {
      const [row, column] = [Math.floor(i / (2 * keyWidth)), i % (2 * keyWidth)];
      return column < keyWidth ? dk[row * keyWidth + column] : dv[row * keyWidth + column - keyWidth];
    });
    const errors = first.map((bytes, i) => relativeError(new Float32Array(bytes.buffer), [dq, joined][i]));
    assert(Math.max(...errors) < 1e-6, String(errors));
    plan.run();
    assertEquals(await gpu.read(...kept), first, "the same bits at each run");
  });

  gpuTest(`whatever stands in rows of padding has no influence (${variant})`, async (gpu) => {
    const made = operands({ ranges: PACKED, keys: 77, ...SHAPES[variant] });
    const dout = randomFloats(made.q.length, 4);
    const { out, lse } = attentionReference(made);
    const { dq, dk, dv } = attentionBackwardReference(made, dout);
    for (const values of [made.q, made.k, made.v, dout]) (values as Float32Array).fill(NaN, 70 * values.length / 77);
    const actual = await compute(gpu, made, { variant, dout });
    actual.forEach((values, i) => {
      const error = relativeError(values, [out, lse, dq, dk, dv][i]);
      assert(error < 1e-6, `${NAMES[i]}: ${error}`);
    });
  });
}

gpuTest("unused rows of a cache have no influence", async (gpu) => {
  for (const variant of ["software", "tiled", "decode"] as const) {
    const made = operands({ ranges: CACHE, keys: 301, ...SHAPES[variant] });
    const { out } = attentionReference(made);
    for (const values of [made.k, made.v]) (values as Float32Array).fill(NaN, 259 * values.length / 301);
    const [actual] = await compute(gpu, made, { variant });
    const error = relativeError(actual, out);
    assert(error < 1e-6, `${variant}: ${error}`);
  }
});

gpuTest("operands that do not fit are refused", (gpu) => {
  using plan = new Plan(gpu);
  const q = plan.persistent([3, 24]);
  const k = plan.persistent([5, 12]);
  const ranges = plan.persistent([3, 2], { dtype: "u32" });
  const args = { q, k, v: k, ranges, heads: 2, kvHeads: 1, headDim: 12, scale: 1 };
  attention(plan, args);
  assertThrows(() => attention(plan, { ...args, headDim: 6, heads: 4, kvHeads: 2 }), Error, "multiple of 4");
  assertThrows(() => attention(plan, { ...args, headDim: 260 }), Error, "260");
  assertThrows(() => attention(plan, { ...args, heads: 3, kvHeads: 2 }), Error, "cannot share");
  assertThrows(() => attention(plan, { ...args, heads: 3 }), Error, "do not fit");
  assertThrows(() => attention(plan, { ...args, qOffset: 2 }), Error, "multiples of 4");
  assertThrows(() => attention(plan, { ...args, vOffset: 4 }), Error, "do not fit");
  assertThrows(() => attention(plan, { ...args, ranges: k }), Error, "u32");
  const [lse, keyRanges] = [plan.persistent([3, 2]), plan.persistent([5, 2], { dtype: "u32" })];
  const backward = { ...args, out: q, dout: q, lse, keyRanges };
  assertThrows(() => attentionBackward(plan, { ...backward, variant: "decode" }), Error, "no backward");
  return Promise.resolve();
});

Deno.test("attention on a GPU: few queries have their keys split, unless the parts would be larger than a binding", async () => {
  await using gpu = await requestGpu({ software: false, precision: "f32" });
  const choice = { headDim: 128, bytes: 1000, partBytes: 1000 };
  const variants = [1, 32, 33].map((rows) => forwardKernel(gpu, { ...choice, rows }).variant);
  assertEquals(variants, ["decode", "decode", "tiled"]);
  assertEquals(forwardKernel(gpu, { ...choice, rows: 8, partBytes: gpu.maxBindingBytes + 4 }), { variant: "tiled" });
});

Deno.test("gradients on a GPU: tensor cores where factors may be rounded and a workgroup may be that large", () => {
  const variant = (limits: { memory?: number; invocations?: number }, precision: "f32" | "f16" = "f16") => {
    const { memory = 49152, invocations = 1024 } = limits;
    const gpu = {
      ...{ software: false, precision: "f16", subgroupSize: 32, has: () => true },
      subgroupMatrices: [{ rows: 16, columns: 16, depth: 16 }],
      device: { limits: { maxComputeWorkgroupStorageSize: memory, maxComputeInvocationsPerWorkgroup: invocations } },
      attentionKernels: new Map(),
    } as unknown as Gpu;
    const { variant } = backwardKernel(gpu, { headDim: 128, precision });
    assertEquals(backwardCandidates(gpu, { headDim: 128, precision })[0].variant, variant);
    return variant;
  };
  assertEquals(variant({}), "subgroup_matrix");
  assertEquals(variant({}, "f32"), "tiled");
  assertEquals(variant({ memory: 32768 }), "tiled");
  assertEquals(variant({ invocations: 128 }), "tiled");
});

Deno.test("the reference's gradients equal finite differences", () => {
  const made = operands({ ranges: new Uint32Array([0, 1, 0, 2, 2, 2, 1, 4]), keys: 5, heads: 4, kvHeads: 2, headDim: 4 });
  const dout = randomFloats(made.q.length, 4);
  const { dq, dk, dv } = attentionBackwardReference(made, dout);
  const expected = (name: "q" | "k" | "v") =>
    finiteDifference((x) => attentionReference({ ...made, [name]: x }).out, made[name], { dy: dout });
  assert(relativeError(dq, expected("q")) < 1e-8);
  assert(relativeError(dk, expected("k")) < 1e-8);
  assert(relativeError(dv, expected("v")) < 1e-8);
  assert(dk.slice(4 * 8).every((x) => x === 0), "a key that nobody sees");
});

Deno.test("causalRanges, fullRanges and invertRanges", () => {
  const causal = causalRanges({ segments: [2, 3], rows: 6 });
  assertEquals([...causal], [0, 1, 0, 2, 2, 3, 2, 4, 2, 5, 0, 0]);
  assertEquals([...invertRanges(causal, 6)], [0, 2, 1, 2, 2, 5, 3, 5, 4, 5, 0, 0]);
  assertEquals([...fullRanges({ segments: [1, 2] })], [0, 1, 1, 3, 1, 3]);
  assertEquals([...invertRanges(new Uint32Array([1, 3, 0, 0, 2, 9]), 4)], [0, 0, 0, 1, 0, 3, 2, 3]);
  assertThrows(() => causalRanges({ segments: [2, 3], rows: 4 }), RangeError, "2 + 3 = 5");
});
