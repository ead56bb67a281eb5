/** Measures every kernel that a model's attention might use on this adapter. */
import {
  backwardCandidates,
  backwardKey,
  forwardCandidates,
  forwardKey,
  type ForwardShape,
} from "../../kernels/attention/attention_choice.ts";
import { attention } from "../../kernels/attention/attention.ts";
import { attentionBackward, type AttentionBackwardArgs } from "../../kernels/attention/attention_backward.ts";
import { invertRanges } from "../../kernels/attention/key_ranges.ts";
import type { AttentionKernel } from "../../kernels/attention/operands.ts";
import type { Gpu } from "../../kernels/gpu.ts";
import type { WeightType } from "../../kernels/linear/weight_types.ts";
import type { Plan } from "../../kernels/plan.ts";
import type { Tensor } from "../../kernels/tensor.ts";
import type { Qwen2VlConfig } from "../../pipeline/qwen2_vl/config.ts";
import { matrixType } from "../../pipeline/qwen2_vl/quantize.ts";
import { causalRanges, fullRanges } from "../kernels/key_ranges.ts";
import { printRace, race } from "./race.ts";
import { manyRandom } from "./support.ts";

/** Rows that are measured: of a sequence, and patches of a large picture, where attention takes a good part of the time. */
const ROWS = { sequence: 1024, picture: 4096 };

/** Attention as the model has it. */
export interface TunedAttention extends ForwardShape {
  /** Whether its gradients are measured, otherwise itself. */
  backward: boolean;
  /** H */
  heads: number;
  /** KVH */
  kvHeads: number;
}

/** Every kind of attention that the program computes: pictures see all of themselves, words what comes before them, with gradients or without. */
export function tunedAttention(options: { config: Qwen2VlConfig; weights?: WeightType; stored: string }): TunedAttention[] {
  const { config: { text, vision }, weights, stored } = options;
  const precision = (name: string) => matrixType(name, { weights, stored }) === "f32" ? "f32" as const : "f16" as const;
  const { heads, kvHeads, headDim } = text;
  const words = { heads, kvHeads, headDim, precision: precision("model.layers.0"), causal: true };
  const picture = {
    heads: vision.heads,
    kvHeads: vision.heads,
    headDim: vision.hidden / vision.heads,
    precision: precision("visual.blocks.0"),
  };
  return [
    { ...picture, backward: false },
    { ...words, backward: false },
    { ...words, lse: true, backward: false },
    { ...words, backward: true },
  ];
}

/** The fastest kernels, a row of the table for each. */
export async function tuneAttention(
  gpu: Gpu,
  kinds: readonly TunedAttention[],
  options: { repeats: number; rows?: number },
): Promise<Map<string, AttentionKernel>> {
  const best = new Map<string, AttentionKernel>();
  for (const shape of kinds) {
    const candidates = shape.backward ? backwardCandidates(gpu, shape) : forwardCandidates(gpu, shape);
    if (candidates.length < 2) continue;
    const { repeats, rows = shape.causal ? ROWS.sequence : ROWS.picture } = options;
    const key = shape.backward ? backwardKey(shape) : forwardKey(shape);
    const record = recorder(shape, rows);
    const flops = (shape.backward ? 7 : 2) * 2 * rows ** 2 * shape.heads * shape.headDim;
    const found = await race(gpu, { candidates, trusted: { variant: "tiled" }, record, flops, repeats });
    best.set(key, found.fastest.kernel);
    printRace(`attention ${key}`, found, { name: nameOf, flops });
  }
  return best;
}

/** A kernel in a few words. */
function nameOf({ variant, columns, subgroups }: AttentionKernel): string {
  const sizes = [columns && `${columns} columns`, subgroups && `${subgroups} subgroups`].filter(Boolean);
  return `${variant.replace("_", " ")}${sizes.length ? `, ${sizes.join(", ")}` : ""}`;
}

/** Records attention, always on the same numbers. */
function recorder(shape: TunedAttention, rows: number): (plan: Plan, kernel: AttentionKernel) => Tensor[] {
  const { heads, kvHeads, headDim, causal, lse, precision, backward } = shape;
  const data = manyRandom(rows * heads * headDim);
  const made = new Map<Plan, ReturnType<typeof operands>>();
  const operands = (plan: Plan) => {
    const tensor = (width: number) => plan.persistent([rows, width], { data: data.subarray(0, rows * width) });
    const ranges = causal ? causalRanges({ segments: [rows] }) : fullRanges({ segments: [rows] });
    return {
      q: tensor(heads * headDim),
      k: tensor(kvHeads * headDim),
      v: tensor(kvHeads * headDim),
      ranges: plan.persistent([rows, 2], { dtype: "u32", data: ranges }),
      ...{ heads, kvHeads, headDim, scale: headDim ** -0.5, causal, precision },
      ...(backward && {
        out: tensor(heads * headDim),
        lse: plan.persistent([rows, heads], { data: new Float32Array(rows * heads).fill(Math.log(rows)) }),
        dout: tensor(heads * headDim),
        keyRanges: plan.persistent([rows, 2], { dtype: "u32", data: invertRanges(ranges, rows) }),
      }),
    };
  };
  return (plan, kernel) => {
    const given = made.get(plan) ?? operands(plan);
    made.set(plan, given);
    if ("dout" in given) return Object.values(attentionBackward(plan, { ...given, ...kernel } as AttentionBackwardArgs));
    const { out, lse: sums } = attention(plan, { ...given, ...kernel, lse });
    return [out, ...(sums ? [sums] : [])];
  };
}
