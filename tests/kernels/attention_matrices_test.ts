import { assert, assertLess } from "@std/assert";
import { attentionBackwardReference, attentionReference, type AttentionReferenceArgs } from "../../kernels/attention/_reference.ts";
import { attentionMatrices, forwardCandidates } from "../../kernels/attention/attention_choice.ts";
import type { AttentionMatrices } from "../../kernels/attention/operands.ts";
import { subgroupMatrixBackward } from "../../kernels/attention/subgroup_matrix_backward_wgsl.ts";
import { fitsAttention, subgroupMatrixBackwardBytes, subgroupMatrixBytes } from "../../kernels/attention/subgroup_matrix_tile.ts";
import { subgroupMatrixForward } from "../../kernels/attention/subgroup_matrix_wgsl.ts";
import type { Gpu } from "../../kernels/gpu.ts";
import { SUBGROUP_MATRICES } from "../../kernels/matrix_primitives.ts";
import { largestMatrices } from "../../kernels/subgroup_matrix.ts";
import { CACHE, type Case, centreOfKeys, compute, operands, PACKED, withBiasedKeys } from "./attention_support.ts";
import { alignedBytes, matricesOf } from "./emulated_matrices.ts";
import { causalRanges, fullRanges } from "./key_ranges.ts";
import { gpuTest, randomFloats, relativeError } from "./support.ts";

/** In one order of workgroups only, since compiling takes most of the time; the other tiled kernels are tried in both. */
const ON_MATRICES = { variant: "subgroup_matrix", causal: true } as const;
const SUBGROUPS = 2;
const EMULATED = { rows: 16, columns: 16, depth: 16 }; // smaller ones take minutes to compile where they are emulated

/** The operands as the kernel rounds them: queries with the scale of the scores, keys less their centre. */
function rounded({ q, k, v, ...rest }: AttentionReferenceArgs): AttentionReferenceArgs {
  const factor = Math.fround(rest.scale) * Math.LOG2E;
  const centre = centreOfKeys({ k, ...rest });
  return {
    q: Float64Array.from(q, (x) => Math.f16round(Math.fround(x * factor)) / factor),
    k: Float64Array.from(k, (x, i) => Math.f16round(x - centre[i % centre.length])),
    v: Float64Array.from(v, Math.f16round),
    ...rest,
  };
}

/** Logarithms of the sums, of keys with their centre where `lse` is of those without. */
function withCentre(lse: Float64Array, made: AttentionReferenceArgs): Float64Array {
  const { q, ranges, heads, kvHeads, headDim, scale } = made;
  const centre = centreOfKeys(made);
  return lse.map((value, i) => {
    const [row, first] = [Math.floor(i / heads), Math.floor(i % heads * kvHeads / heads) * headDim];
    const product = centre.slice(first, first + headDim).reduce((sum, c, n) => sum + c * q[i * headDim + n], 0);
    return ranges[2 * row + 1] > ranges[2 * row] ? value + scale * product : value;
  });
}

const CASES: Record<string, Case> = {
  "packed sequences and padding": { ranges: PACKED, keys: 77, heads: 6, kvHeads: 2, headDim: 20 },
  "a cache": { ranges: CACHE, keys: 301, heads: 3, kvHeads: 1, headDim: 20 },
  "one key": { ranges: new Uint32Array([0, 1]), keys: 1, heads: 2, kvHeads: 1, headDim: 20 },
  "a picture, of which all rows see whole tiles of keys": {
    ranges: fullRanges({ segments: [150] }),
    keys: 150,
    heads: 1,
    kvHeads: 1,
    headDim: 20,
  },
  "a long sequence": { ranges: causalRanges({ segments: [150] }), keys: 150, heads: 2, kvHeads: 1, headDim: 20 },
  "blocks": { ranges: fullRanges({ segments: [9, 64] }), keys: 73, heads: 2, kvHeads: 2, headDim: 20 },
};

/** The adapter's own matrices, otherwise emulated ones. */
function available(gpu: Gpu): AttentionMatrices {
  const shape = largestMatrices(gpu.subgroupMatrices.filter(fitsAttention)) ?? EMULATED;
  return { shape, subgroups: SUBGROUPS, ...matricesOf(gpu, shape) };
}

/** Error of gradients, relative where they are not zero; what is left then is relative to the sums that cancel each other out. */
function gradientError(actual: ArrayLike<number>, expected: Float64Array, cancelled: number): number {
  return expected.some((x) => x !== 0) ? relativeError(actual, expected) : Math.max(...Array.from(actual, Math.abs)) / cancelled;
}

for (const [name, item] of Object.entries(CASES)) {
  gpuTest(`attention by subgroup matrices and its gradients equal the reference: ${name}`, async (gpu) => {
    const made = operands(item);
    const { out, lse: ofCentred } = attentionReference(rounded(made));
    const lse = withCentre(ofCentred, made);
    const matrices = available(gpu);
    for (const [factor, beside] of [[1, false], [1e-9, true], [1e6, false]] as const) { // gradients have no usual size
      const dout = randomFloats(made.q.length, 4, { scale: factor });
      const [actualOut, actualLse, ...actual] = await compute(gpu, made, { ...ON_MATRICES, matrices, dout, beside });
      assertLess(relativeError(actualOut, out), 3e-4); // weights are rounded, too
      assertLess(Math.max(...actualLse.map((value, i) => Math.abs(value - lse[i]))), 1e-5);
      const { dq, dk, dv } = attentionBackwardReference(rounded(made), dout);
      [dq, dk, dv].forEach((expected, i) => assertLess(gradientError(actual[i], expected, factor), 1e-3, ["dq", "dk", "dv"][i]));
    }
  });
}

gpuTest("attention by three subgroups' matrices: heads whose queries come in several pieces", async (gpu) => {
  const made = operands({ ranges: PACKED, keys: 77, heads: 2, kvHeads: 1, headDim: 36 });
  const [out] = await compute(gpu, made, { ...ON_MATRICES, matrices: { ...available(gpu), subgroups: 3 } });
  assertLess(relativeError(out, attentionReference(rounded(made)).out), 3e-4);
});

gpuTest("attention by the adapter's subgroup matrices equals the reference at longer heads", async (gpu) => {
  const own = attentionMatrices(gpu);
  for (const headDim of own ? [68, 128] : []) {
    const made = operands({ ranges: PACKED, keys: 77, heads: 6, kvHeads: 2, headDim });
    const dout = randomFloats(made.q.length, 4);
    const expected = attentionReference(rounded(made)).out;
    const [out, , ...actual] = await compute(gpu, made, { ...ON_MATRICES, matrices: own, dout });
    assertLess(relativeError(out, expected), 3e-4);
    const more = forwardCandidates(gpu, { headDim, precision: "f16" }).find(({ subgroups }) => subgroups && subgroups > own!.subgroups);
    if (more) assertLess(relativeError((await compute(gpu, made, { ...more, causal: true }))[0], expected), 3e-4, JSON.stringify(more));
    const { dq, dk, dv } = attentionBackwardReference(rounded(made), dout);
    [dq, dk, dv].forEach((expected, i) => assertLess(relativeError(actual[i], expected), 1e-3));
  }
});

gpuTest("gradients of attention by subgroup matrices: rows and values of very different sizes keep their digits", async (gpu) => {
  const item = { ranges: PACKED, keys: 77, heads: 2, kvHeads: 1, headDim: 20 };
  const made = operands(item);
  const size = (row: number) => 10 ** -(row % 7);
  const dout = randomFloats(made.q.length, 4).map((value, i) => value * size(Math.floor(i / 40)));
  (made.v as Float32Array).forEach((value, i) => (made.v as Float32Array)[i] = 300 * value * size(Math.floor(i / 20)));
  const { dq, dk, dv } = attentionBackwardReference(rounded(made), dout);
  const matrices = available(gpu);
  const actual = (await compute(gpu, made, { ...ON_MATRICES, matrices, dout })).slice(2);
  [dq, dk, dv].forEach((expected, i) => assertLess(relativeError(actual[i], expected), 2e-3));
  for (let row = 1; row < 70; row++) { // each row's own error: the first of a sequence sees one key, which leaves nothing of dq
    const of = (values: ArrayLike<number>) => Array.from(values).slice(40 * row, 40 * row + 40);
    if (PACKED[2 * row + 1] - PACKED[2 * row] > 1) assertLess(relativeError(of(actual[0]), of(dq)), 1e-2, `dq of row ${row}`);
  }
});

gpuTest("attention by subgroup matrices: scores far apart, rising from key to key", async (gpu) => {
  const made = operands({ ranges: CACHE, keys: 301, heads: 2, kvHeads: 1, headDim: 20, spread: 30 });
  const { k } = made;
  (k as Float32Array).forEach((value, i) => (k as Float32Array)[i] = value * Math.floor(i / 20) / 100);
  const { out } = attentionReference(rounded(made));
  const matrices = available(gpu);
  const [actual] = await compute(gpu, made, { ...ON_MATRICES, matrices });
  assertLess(relativeError(actual, out), 3e-4);
});

gpuTest(
  "attention by subgroup matrices and its gradients: what all keys have in common takes no digits from what they differ in",
  async (gpu) => {
    const made = withBiasedKeys(operands({ ranges: PACKED, keys: 77, heads: 6, kvHeads: 2, headDim: 20 }));
    const dout = randomFloats(made.q.length, 4);
    const { out, lse } = attentionReference(made);
    const [actual, actualLse, ...gradients] = await compute(gpu, made, { ...ON_MATRICES, matrices: available(gpu), dout, beside: true });
    assertLess(relativeError(actual, out), 1e-3); // 2e-2 where keys are rounded as they are
    assertLess(relativeError(actualLse, lse), 1e-5);
    const expected = attentionBackwardReference(made, dout);
    const check = (gradients: ArrayLike<number>[], how: string) =>
      (["dq", "dk", "dv"] as const).forEach((name, i) => assertLess(relativeError(gradients[i], expected[name]), 2e-3, `${name} ${how}`));
    check(gradients, "with logarithms of the keys");
    for (const backward of [undefined, "tiled"] as const) {
      const matrices = available(gpu);
      const [, , ...gradients] = await compute(gpu, made, { ...ON_MATRICES, matrices, dout, beside: true, centred: true, backward });
      check(gradients, `with those of centred keys, ${backward ?? "the same kernel"}`);
    }
  },
);

gpuTest("attention by subgroup matrices: what stands in unused rows has no influence", async (gpu) => {
  const cache = operands({ ranges: CACHE, keys: 301, heads: 2, kvHeads: 1, headDim: 20 });
  const { out } = attentionReference(rounded(cache));
  for (const values of [cache.k, cache.v]) (values as Float32Array).fill(NaN, 259 * values.length / 301);
  const padded = operands({ ranges: PACKED, keys: 77, heads: 6, kvHeads: 2, headDim: 20 });
  const dout = randomFloats(padded.q.length, 4);
  const { dq, dk, dv } = attentionBackwardReference(rounded(padded), dout);
  for (const values of [padded.q, padded.k, padded.v, dout]) (values as Float32Array).fill(NaN, 70 * values.length / 77);
  const matrices = available(gpu);
  const [actual] = await compute(gpu, cache, { ...ON_MATRICES, matrices });
  assertLess(relativeError(actual, out), 3e-4);
  const gradients = (await compute(gpu, padded, { ...ON_MATRICES, matrices, dout })).slice(2);
  [dq, dk, dv].forEach((expected, i) => assertLess(relativeError(gradients[i], expected), 1e-3, ["dq", "dk", "dv"][i]));
});

gpuTest("attention by subgroup matrices: a key that is not finite has no influence on other sequences", async (gpu) => {
  const made = operands({ ranges: PACKED, keys: 77, heads: 2, kvHeads: 1, headDim: 20 });
  const { out } = attentionReference(rounded(made));
  for (const row of [1, 2, 3, 4]) (made.k as Float32Array).fill(row % 2 ? NaN : Infinity, 20 * row, 20 * row + 20); // of the second sequence
  const [actual] = await compute(gpu, made, { ...ON_MATRICES, matrices: available(gpu) });
  assertLess(relativeError(actual.subarray(40 * 48, 40 * 70), out.slice(40 * 48, 40 * 70)), 1e-3); // the centre is another one
});

Deno.test("attention by subgroup matrices takes the workgroup memory that was said, in variables of whole 16 bytes", () => {
  for (const headDim of [20, 80, 128]) {
    for (const subgroups of [2, 4, 8]) {
      const options = { headDim, causal: true, shape: EMULATED, lanes: 32, subgroups, primitives: SUBGROUP_MATRICES };
      const forward = alignedBytes(subgroupMatrixForward({ ...options, lse: true }));
      const backward = (["queries", "keys"] as const).map((rows) => alignedBytes(subgroupMatrixBackward({ ...options, rows })));
      for (
        const [bytes, said] of [[forward, subgroupMatrixBytes(options)], [Math.max(...backward), subgroupMatrixBackwardBytes(options)]]
      ) {
        assert(bytes <= said && said - bytes < 64, `${bytes} bytes, not ${said}, for heads of ${headDim} and ${subgroups} subgroups`);
      }
    }
  }
});
