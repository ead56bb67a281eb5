import { assertEquals, assertLess, assertThrows } from "@std/assert";
import { attentionReference } from "../../kernels/attention/_reference.ts";
import { attention } from "../../kernels/attention/attention.ts";
import { backwardCandidates, forwardCandidates, forwardKernel, forwardKey } from "../../kernels/attention/attention_choice.ts";
import type { AttentionKernel, AttentionOperands } from "../../kernels/attention/operands.ts";
import type { Gpu } from "../../kernels/gpu.ts";
import { Plan } from "../../kernels/plan.ts";
import { CACHE, type Case, operands, PACKED, withBiasedKeys } from "./attention_support.ts";
import { fullRanges } from "./key_ranges.ts";
import { gpuTest, randomFloats, relativeError } from "./support.ts";

const BLOCKS = fullRanges({ segments: [70, 1, 133] });
const CASES: Record<string, Case> = {
  "packed sequences and padding": { ranges: PACKED, keys: 77, heads: 6, kvHeads: 2, headDim: 20 },
  "a cache": { ranges: CACHE, keys: 301, heads: 3, kvHeads: 1, headDim: 20 },
  "one key": { ranges: new Uint32Array([0, 1]), keys: 1, heads: 2, kvHeads: 1, headDim: 20 },
  "pictures": { ranges: BLOCKS, keys: 204, heads: 2, kvHeads: 2, headDim: 80 },
  "the longest heads": { ranges: BLOCKS, keys: 204, heads: 2, kvHeads: 1, headDim: 96 },
};

type Made = ReturnType<typeof operands>;

/** The kernel's result. */
async function half(
  gpu: Gpu,
  made: Made,
  { wide }: { wide?: Float32Array<ArrayBuffer> } = {},
): Promise<Float32Array> {
  using plan = new Plan(gpu);
  const { heads, kvHeads, headDim, scale } = made;
  const rows = made.ranges.length / 2;
  const tensor = (data: ArrayLike<number>, width: number) =>
    plan.persistent([data.length / width, width], { data: Float32Array.from(data) });
  const width = heads * headDim;
  const operands = (): Pick<AttentionOperands, "q" | "k" | "v"> & Partial<AttentionOperands> => {
    if (!wide) return { q: tensor(made.q, width), k: tensor(made.k, kvHeads * headDim), v: tensor(made.v, kvHeads * headDim) };
    const all = tensor(wide, 3 * width);
    return { q: all, k: all, v: all, qStride: 3 * width, kStride: 3 * width, vStride: 3 * width, kOffset: width, vOffset: 2 * width };
  };
  const out = plan.persistent([rows, width]);
  const ranges = plan.persistent([rows, 2], { dtype: "u32", data: made.ranges as Uint32Array });
  attention(plan, {
    ...operands(),
    ranges,
    heads,
    kvHeads,
    headDim,
    scale,
    out,
    variant: "tiled_half",
    causal: wide !== undefined,
  });
  plan.run();
  return await gpu.readFloats(out);
}

for (const [name, item] of Object.entries(CASES)) {
  gpuTest(`attention in f16 tiles equals the reference: ${name}`, async (gpu) => {
    const made = operands(item);
    assertLess(relativeError(await half(gpu, made), attentionReference(made).out), 2e-3);
  });
}

gpuTest("attention in f16 tiles: slices of one wide tensor", async (gpu) => {
  const [rows, heads, headDim] = [150, 2, 20];
  const width = heads * headDim;
  const wide = randomFloats(rows * 3 * width, 1);
  const part = (n: number) =>
    Float32Array.from({ length: rows * width }, (_, i) => wide[Math.floor(i / width) * 3 * width + n * width + i % width]);
  const sizes = { heads, kvHeads: heads, headDim, scale: headDim ** -0.5 };
  const made = { q: part(0), k: part(1), v: part(2), ranges: fullRanges({ segments: [rows] }), ...sizes };
  assertLess(relativeError(await half(gpu, made, { wide }), attentionReference(made).out), 2e-3);
});

gpuTest("attention in f16 tiles: rows of any size, and scores that rise from key to key", async (gpu) => {
  const made = operands({ ranges: BLOCKS, keys: 204, heads: 2, kvHeads: 1, headDim: 20 });
  const scaled = (values: ArrayLike<number>, width: number, factor: (row: number) => number) =>
    Float32Array.from(values, (value, i) => value * factor(Math.floor(i / width)));
  const huge = {
    ...made,
    k: scaled(made.k, 20, (row) => 1e5 * row / 204),
    q: scaled(made.q, 40, () => 1e-5),
    v: scaled(made.v, 20, () => 6e4),
  };
  assertLess(relativeError(await half(gpu, huge), attentionReference(huge).out), 2e-3);
  const mixed = { ...made, v: scaled(made.v, 20, (row) => row % 7 ? 1 : 1e4), k: scaled(made.k, 20, (row) => row % 3 ? 1 : 1e-6) };
  assertLess(relativeError(await half(gpu, mixed), attentionReference(mixed).out), 2e-3);
  const apart = { ...made, v: scaled(made.v, 20, (row) => row < 70 ? 1e-5 : row === 70 ? 0 : 6e4) }; // three sequences, side by side in a tile
  const [out, expected] = [await half(gpu, apart), attentionReference(apart).out];
  assertLess(relativeError(out.subarray(0, 70 * 40), expected.slice(0, 70 * 40)), 2e-3);
  assertLess(relativeError(out.subarray(71 * 40), expected.slice(71 * 40)), 2e-3);
  const silent = { ...made, v: scaled(made.v, 20, (row) => row % 2 ? 1 : 0) }; // their weights count all the same
  assertLess(relativeError(await half(gpu, silent), attentionReference(silent).out), 2e-3);
  const rising = operands({ ranges: CACHE, keys: 301, heads: 2, kvHeads: 1, headDim: 20, spread: 30 });
  const risen = { ...rising, k: scaled(rising.k, 20, (row) => row / 100) };
  assertLess(relativeError(await half(gpu, risen), attentionReference(risen).out), 1e-2); // scores of hundreds, of which f16 keeps eleven bits
});

gpuTest("attention in f16 tiles: what all keys have in common takes no digits from what they differ in", async (gpu) => {
  const made = withBiasedKeys(operands({ ranges: BLOCKS, keys: 204, heads: 2, kvHeads: 1, headDim: 80 }));
  assertLess(relativeError(await half(gpu, made), attentionReference(made).out), 2e-3); // 7e-2 where keys are rounded as they are
});

gpuTest(
  "attention in f16 tiles: what stands in unused rows has no influence, what is not finite in used ones does not get lost",
  async (gpu) => {
    const made = operands({ ranges: CACHE, keys: 301, heads: 2, kvHeads: 1, headDim: 20 });
    const { out } = attentionReference(made);
    for (const values of [made.k, made.v]) (values as Float32Array).fill(NaN, 259 * values.length / 301);
    assertLess(relativeError(await half(gpu, made), out), 2e-3);
    (made.v as Float32Array).fill(Infinity, 0, 20 * 259);
    assertEquals((await half(gpu, made)).some(Number.isFinite), false);
  },
);

/** An adapter, as far as the choice of kernels looks at it. */
const like = (facts: object = {}): Gpu =>
  ({
    ...{ software: false, precision: "f16", has: () => true, subgroupSize: 32, subgroupMatrices: [], maxBindingBytes: 2 ** 30 },
    device: { limits: { maxComputeWorkgroupStorageSize: 49152, maxComputeInvocationsPerWorkgroup: 1024 } },
    attentionKernels: new Map(),
    ...facts,
  }) as unknown as Gpu;

gpuTest("attention in f16 tiles: taken for heads that fit where factors may be rounded and no lse is asked for", async (gpu) => {
  const choice = { rows: 500, headDim: 80, bytes: 0, partBytes: 0, precision: "f16" as const };
  const variant = (facts: object, shape: object = {}) => forwardKernel(like(facts), { ...choice, ...shape }).variant;
  assertEquals(variant({}), "tiled_half");
  assertEquals(variant({}, { lse: true }), "tiled");
  assertEquals(variant({}, { headDim: 128 }), "tiled");
  assertEquals(variant({}, { precision: undefined }), "tiled");
  assertEquals(variant({ precision: "f32" }), "tiled");
  assertEquals(variant({ subgroupSize: 0 }), "tiled");
  assertEquals(variant({ device: { limits: { maxComputeWorkgroupStorageSize: 16384 } } }), "tiled");
  using plan = new Plan(gpu);
  const [q, ranges] = [plan.persistent([4, 8]), plan.persistent([4, 2], { dtype: "u32" })];
  const args = { q, k: q, v: q, ranges, heads: 1, kvHeads: 1, headDim: 8, scale: 1, variant: "tiled_half" as const };
  assertThrows(() => attention(plan, { ...args, lse: true }), Error, "computes no lse");
  await Promise.resolve();
});

Deno.test("attention: computed as it was measured, where the adapter can and the result may be rounded so", () => {
  const shape = { headDim: 80, precision: "f16" as const };
  const few = { rows: 500, bytes: 0, partBytes: 0 };
  const narrow: AttentionKernel = { variant: "tiled", columns: 64 };
  const gpu = like();
  assertEquals(forwardCandidates(gpu, shape), [{ variant: "tiled_half" }, { variant: "tiled" }, narrow]);
  gpu.attentionKernels.set(forwardKey(shape), narrow).set(forwardKey({ ...shape, lse: true }), { variant: "tiled_half" });
  assertEquals(forwardKernel(gpu, { ...shape, ...few }), narrow);
  assertEquals(forwardKernel(gpu, { ...shape, ...few, lse: true }), { variant: "tiled" });
  assertEquals(forwardKernel(gpu, { ...shape, ...few, causal: true }), { variant: "tiled_half" });
  assertEquals(forwardKernel(gpu, { ...shape, ...few, rows: 8 }), { variant: "decode" });
  const small = like({
    device: { limits: { maxComputeWorkgroupStorageSize: 24576, maxComputeInvocationsPerWorkgroup: 1024 } },
    subgroupMatrices: [{ rows: 16, columns: 16, depth: 16 }],
  });
  const fewer: AttentionKernel = { variant: "subgroup_matrix", subgroups: 2 };
  assertEquals(forwardKernel(small, { ...shape, ...few }), { variant: "tiled_half" });
  small.attentionKernels.set(forwardKey(shape), fewer);
  assertEquals(forwardKernel(small, { ...shape, ...few }), fewer);
  const large = like({
    device: { limits: { maxComputeWorkgroupStorageSize: 49152, maxComputeInvocationsPerWorkgroup: 1024 } },
    subgroupMatrices: [{ rows: 16, columns: 16, depth: 16 }],
  });
  const more: AttentionKernel = { variant: "subgroup_matrix", subgroups: 8 };
  assertEquals(forwardKernel(large, { ...shape, ...few }), { variant: "subgroup_matrix" });
  large.attentionKernels.set(forwardKey(shape), more);
  assertEquals(forwardKernel(large, { ...shape, ...few }), more);
  assertEquals(forwardCandidates(large, { ...shape, headDim: 128 }).slice(0, 2), [{ variant: "subgroup_matrix" }, more]);
  assertEquals(backwardCandidates(large, shape).filter(({ subgroups }) => subgroups === 8), [], "there is no room for these");
});
