/** Measures every kernel that a model's attention might use on this adapter. */
import {
  backwardCandidates,
  backwardKey,
  forwardCandidates,
  forwardKey,
  type ForwardShape,
} from "../../kernels/attention/attention_choice.ts";
import { attention } from "../../kernels/attention/attention.ts";
import { attentionBackward } from "../../kernels/attention/attention_backward.ts";
import { invertRanges } from "../../kernels/attention/key_ranges.ts";
import type { AttentionKernel } from "../../kernels/attention/operands.ts";
import type { Gpu } from "../../kernels/gpu.ts";
import type { WeightType } from "../../kernels/linear/weight_types.ts";
import { Plan } from "../../kernels/plan.ts";
import type { Tensor } from "../../kernels/tensor.ts";
import { relativeError } from "../../pipeline/golden/comparison.ts";
import type { Qwen2VlConfig } from "../../pipeline/qwen2_vl/config.ts";
import { matrixType } from "../../pipeline/qwen2_vl/quantize.ts";
import { causalRanges, fullRanges } from "../kernels/key_ranges.ts";
import { printRace, race, timeOfPlan } from "./race.ts";
import { manyRandom } from "./support.ts";

/** Rows of a sequence, or patches of a picture, that are measured. */
const ROWS = 1024;

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
  { repeats, rows = ROWS }: { repeats: number; rows?: number },
): Promise<Map<string, AttentionKernel>> {
  const best = new Map<string, AttentionKernel>();
  for (const shape of kinds) {
    const candidates = shape.backward ? backwardCandidates(gpu, shape) : forwardCandidates(gpu, shape);
    if (candidates.length < 2) continue;
    const key = shape.backward ? backwardKey(shape) : forwardKey(shape);
    const measured = new MeasuredAttention(gpu, shape, rows);
    const found = await race(candidates, {
      repeats,
      measure: (kernel, times) => measured.milliseconds(kernel, times),
      error: () => measured.error(),
    });
    best.set(key, found.fastest.kernel);
    const products = shape.backward ? 7 : 2;
    printRace(`attention ${key}`, found, { name: nameOf, flops: products * 2 * rows ** 2 * shape.heads * shape.headDim });
  }
  return best;
}

/** A kernel in a few words. */
function nameOf({ variant, columns, copies, subgroups }: AttentionKernel): string {
  const sizes = [columns && `${columns} columns`, copies && "copies", subgroups && `${subgroups} subgroups`].filter(Boolean);
  return `${variant.replace("_", " ")}${sizes.length ? `, ${sizes.join(", ")}` : ""}`;
}

/** Attention whose kernels are measured, all on the same numbers. */
class MeasuredAttention {
  readonly #data: Float32Array<ArrayBuffer>;
  #found: Float32Array[] = [];
  #expected?: Float32Array[];

  constructor(readonly gpu: Gpu, readonly shape: TunedAttention, readonly rows: number) {
    this.#data = manyRandom(rows * shape.heads * shape.headDim);
  }

  /** Milliseconds by time stamps; the median. */
  async milliseconds(kernel: AttentionKernel, repeats: number): Promise<number> {
    using plan = new Plan(this.gpu, "tune");
    const results = this.#record(plan, kernel);
    const milliseconds = await timeOfPlan(plan, repeats);
    this.#found = await this.#read(results);
    return milliseconds;
  }

  /** How far off the results of the last measurement are from what tiles in f32 give. */
  async error(): Promise<number> {
    if (!this.#expected) {
      using plan = new Plan(this.gpu, "tune");
      const results = this.#record(plan, { variant: "tiled" });
      plan.run();
      this.#expected = await this.#read(results);
    }
    return Math.max(...this.#found.map((values, i) => relativeError(values, this.#expected![i])));
  }

  #record(plan: Plan, kernel: AttentionKernel): Tensor[] {
    const { shape: { heads, kvHeads, headDim, causal, lse, precision, backward }, rows } = this;
    const tensor = (width: number) => plan.persistent([rows, width], { data: this.#data.subarray(0, rows * width) });
    const ranges = causal ? causalRanges({ segments: [rows] }) : fullRanges({ segments: [rows] });
    const given = {
      q: tensor(heads * headDim),
      k: tensor(kvHeads * headDim),
      v: tensor(kvHeads * headDim),
      ranges: plan.persistent([rows, 2], { dtype: "u32", data: ranges }),
      ...{ heads, kvHeads, headDim, scale: headDim ** -0.5, causal, precision, ...kernel },
    };
    const kept = (result: Tensor) => {
      const copy = plan.persistent(result.shape, { data: new Float32Array(result.size).fill(NaN) });
      plan.copy(result, copy);
      return copy;
    };
    if (!backward) {
      const result = attention(plan, { ...given, lse });
      return [kept(result.out), ...(result.lse ? [kept(result.lse)] : [])];
    }
    const { dq, dkv } = attentionBackward(plan, {
      ...given,
      out: tensor(heads * headDim),
      lse: plan.persistent([rows, heads], { data: new Float32Array(rows * heads).fill(Math.log(rows)) }),
      dout: tensor(heads * headDim),
      keyRanges: plan.persistent([rows, 2], { dtype: "u32", data: invertRanges(ranges, rows) }),
    });
    return [kept(dq), kept(dkv)];
  }

  async #read(results: Tensor[]): Promise<Float32Array[]> {
    return (await this.gpu.read(...results)).map((bytes) => new Float32Array(bytes.buffer));
  }
}
