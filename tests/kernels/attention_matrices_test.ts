import { assertLess } from "@std/assert";
import { attentionReference, type AttentionReferenceArgs } from "../../kernels/attention/_reference.ts";
import { fullRanges } from "./key_ranges.ts";
import { type AttentionMatrices, attentionMatrices } from "../../kernels/attention/operands.ts";
import type { Gpu } from "../../kernels/gpu.ts";
import { CACHE, type Case, compute, operands, PACKED } from "./attention_support.ts";
import { EMULATED_MATRICES, LANES } from "./emulated_matrices.ts";
import { gpuTest, relativeError } from "./support.ts";

const EMULATED: AttentionMatrices = {
  shape: { rows: 16, columns: 16, depth: 16 }, // smaller ones take minutes to compile here
  lanes: LANES,
  subgroups: 2,
  primitives: EMULATED_MATRICES,
};
/** The operands as the kernel rounds them: queries with the scale of the scores. */
function rounded({ q, k, v, ...rest }: AttentionReferenceArgs): AttentionReferenceArgs {
  const factor = Math.fround(rest.scale) * Math.LOG2E;
  const half = (values: ArrayLike<number>) => Float64Array.from(values, Math.f16round);
  return { q: Float64Array.from(q, (x) => Math.f16round(Math.fround(x * factor)) / factor), k: half(k), v: half(v), ...rest };
}

const CASES: Record<string, Case> = {
  "packed sequences and padding": { ranges: PACKED, keys: 77, heads: 6, kvHeads: 2, headDim: 20 },
  "a cache": { ranges: CACHE, keys: 301, heads: 3, kvHeads: 1, headDim: 20 },
  "one key": { ranges: new Uint32Array([0, 1]), keys: 1, heads: 2, kvHeads: 1, headDim: 20 },
  "blocks": { ranges: fullRanges({ segments: [9, 64] }), keys: 73, heads: 2, kvHeads: 2, headDim: 20 },
};

/** Emulated ones, and the adapter's own where it has them. */
const kinds = (gpu: Gpu): AttentionMatrices[] => [EMULATED, ...[attentionMatrices(gpu) ?? []].flat()];

for (const [name, item] of Object.entries(CASES)) {
  gpuTest(`attention by subgroup matrices equals the reference: ${name}`, async (gpu) => {
    const made = operands(item);
    const { out, lse } = attentionReference(rounded(made));
    for (const matrices of kinds(gpu)) {
      const [actualOut, actualLse] = await compute(gpu, made, { variant: "subgroup_matrix", matrices });
      assertLess(relativeError(actualOut, out), 3e-4); // weights are rounded, too
      assertLess(Math.max(...actualLse.map((value, i) => Math.abs(value - lse[i]))), 1e-5);
    }
  });
}

gpuTest("attention by subgroup matrices: scores far apart, rising from key to key", async (gpu) => {
  const made = operands({ ranges: CACHE, keys: 301, heads: 2, kvHeads: 1, headDim: 20, spread: 30 });
  const { k } = made;
  (k as Float32Array).forEach((value, i) => (k as Float32Array)[i] = value * Math.floor(i / 20) / 100);
  const { out } = attentionReference(rounded(made));
  for (const matrices of kinds(gpu)) {
    const [actual] = await compute(gpu, made, { variant: "subgroup_matrix", matrices });
    assertLess(relativeError(actual, out), 3e-4);
  }
});

gpuTest("attention by subgroup matrices: what stands in unused rows has no influence", async (gpu) => {
  const made = operands({ ranges: CACHE, keys: 301, heads: 2, kvHeads: 1, headDim: 20 });
  const { out } = attentionReference(rounded(made));
  for (const values of [made.k, made.v]) (values as Float32Array).fill(NaN, 259 * values.length / 301);
  for (const matrices of kinds(gpu)) {
    const [actual] = await compute(gpu, made, { variant: "subgroup_matrix", matrices });
    assertLess(relativeError(actual, out), 3e-4);
  }
});
