/** Operands of attention for tests, and what the kernels make of them. */
import type { AttentionReferenceArgs } from "../../kernels/attention/_reference.ts";
import { attention } from "../../kernels/attention/attention.ts";
import { SAMPLE } from "../../kernels/attention/centred_keys.ts";
import { attentionBackward } from "../../kernels/attention/attention_backward.ts";
import { invertRanges } from "../../kernels/attention/key_ranges.ts";
import { causalRanges } from "./key_ranges.ts";
import type { AttentionOperands } from "../../kernels/attention/operands.ts";
import type { Gpu } from "../../kernels/gpu.ts";
import { Plan } from "../../kernels/plan.ts";
import { randomFloats } from "./support.ts";

/** What is computed: sizes, key ranges, and how large the scores are. */
export interface Case {
  ranges: Uint32Array<ArrayBuffer>;
  keys: number;
  heads: number;
  kvHeads: number;
  headDim: number;
  /** Standard deviation of the queries. */
  spread?: number;
}

/** Random operands of a case, for the reference. */
export function operands(
  { ranges, keys, heads, kvHeads, headDim, spread = 1 }: Case,
): AttentionReferenceArgs & { q: Float32Array<ArrayBuffer> } {
  const rows = ranges.length / 2;
  return {
    q: randomFloats(rows * heads * headDim, 1, { scale: spread }),
    k: randomFloats(keys * kvHeads * headDim, 2),
    v: randomFloats(keys * kvHeads * headDim, 3),
    ranges,
    heads,
    kvHeads,
    headDim,
    scale: headDim ** -0.5,
  };
}

/** The centre of keys (KVH · hd), as `centred_keys.wgsl` finds it. */
export function centreOfKeys({ k, ranges, kvHeads, headDim }: Omit<AttentionReferenceArgs, "q" | "v">): Float64Array {
  const [rows, width] = [ranges.length / 2, kvHeads * headDim];
  const taken = Array.from({ length: SAMPLE }, (_, i) => Math.floor((2 * i + 1) * rows / (2 * SAMPLE))).flatMap((row) => {
    const [start, end] = [ranges[2 * row], Math.min(ranges[2 * row + 1], k.length / width)];
    return end > start ? [start + row % (end - start)] : [];
  });
  return Float64Array.from(
    { length: width },
    (_, i) => taken.reduce((sum, key) => sum + k[key * width + i], 0) / Math.max(taken.length, 1),
  );
}

/** The same operands with a bias on some numbers of all keys, as large as published checkpoints have them. */
export function withBiasedKeys({ k, ...rest }: ReturnType<typeof operands>): ReturnType<typeof operands> {
  return { ...rest, k: Float32Array.from(k, (value, i) => value + (i % 5 ? 0 : i % 10 ? 200 : -300)) };
}

/** What is computed, and how. */
type Computation = Pick<AttentionOperands, "variant" | "columns" | "matrices" | "causal"> & {
  /** Gradient of the result, where gradients are wanted. */
  dout?: Float32Array<ArrayBuffer>;
  /** Whether keys and values are columns of one tensor. */
  beside?: boolean;
  /** Whether the logarithms may be those of centred keys, and are not among the results then. */
  centred?: boolean;
  /** How gradients are computed, if by another kernel. */
  backward?: AttentionOperands["variant"];
};

/** Forward and, where the variant has it, backward, on the GPU. */
export async function compute(gpu: Gpu, made: AttentionReferenceArgs, options: Computation) {
  using plan = new Plan(gpu);
  const { heads, kvHeads, headDim, scale } = made;
  const rows = made.ranges.length / 2;
  const keys = made.k.length / kvHeads / headDim;
  const width = kvHeads * headDim;
  const { dout, beside, centred, backward, ...how } = options;
  const keyValue = beside && plan.persistent([keys, 2 * width], {
    data: Float32Array.from({ length: 2 * keys * width }, (_, i) => {
      const [row, column] = [Math.floor(i / (2 * width)), i % (2 * width)];
      return column < width ? made.k[row * width + column] : made.v[row * width + column - width];
    }),
  });
  const args = {
    q: plan.persistent([rows, heads * headDim], { data: made.q as Float32Array }),
    k: keyValue || plan.persistent([keys, width], { data: made.k as Float32Array }),
    v: keyValue || plan.persistent([keys, width], { data: made.v as Float32Array }),
    vOffset: keyValue ? width : 0,
    ranges: plan.persistent([rows, 2], { dtype: "u32", data: made.ranges as Uint32Array }),
    heads,
    kvHeads,
    headDim,
    scale,
    ...how,
  };
  const out = plan.persistent([rows, heads * headDim]);
  const lse = plan.persistent([rows, heads]);
  const found = attention(plan, { ...args, out, lse: centred ? "centred" : lse });
  const kept = [out, lse];
  if (dout) {
    const gradients = attentionBackward(plan, {
      ...args,
      ...(backward && { variant: backward }),
      out,
      lse: found.lse!,
      centre: found.centre,
      dout: plan.persistent([rows, heads * headDim], { data: dout }),
      keyRanges: plan.persistent([keys, 2], { dtype: "u32", data: invertRanges(made.ranges, keys) }),
    });
    for (const tensor of [gradients.dq, gradients.dkv]) {
      const copy = plan.persistent(tensor.shape);
      plan.copy(tensor, copy);
      kept.push(copy);
    }
  }
  plan.run();
  const [values, sums, dq, dkv] = (await gpu.read(...kept)).map((bytes) => new Float32Array(bytes.buffer));
  if (!dq) return [values, sums];
  const half = (first: number) => dkv.filter((_, i) => Math.floor(i / width) % 2 === first);
  return [values, sums, dq, half(0), half(1)];
}

/** Three sequences and padding, more rows than one tile. */
export const PACKED = causalRanges({ segments: [1, 47, 22], rows: 77 });
/** A few queries on a cache with unused rows; one query sees nothing. */
export const CACHE = new Uint32Array([0, 259, 5, 130, 7, 7, 240, 259, 131, 259]);
