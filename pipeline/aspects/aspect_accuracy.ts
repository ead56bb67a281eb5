/** How often the aspect tokens give the right answer, per view. */
import type { AspectSample } from "../data/aspect_samples.ts";
import type { FeatureStore } from "../encode.ts";
import type { Qwen2Vl } from "../load.ts";
import { Plan } from "../../kernels/plan.ts";
import { maspSequence } from "../masp_sequence.ts";
import { passSize, TrainingPass } from "../train/training_pass.ts";
import type { AspectModules } from "./aspect_modules.ts";

/** Right answers and answers of a view. */
export interface AspectAccuracy {
  /** Answers whose every token is the most probable one, given those before it. */
  correct: number;
  /** Answers. */
  total: number;
}

/** Options of {@linkcode aspectAccuracy}. */
export interface AspectAccuracyOptions {
  /** Trained modules. */
  aspects: AspectModules;
  /** Questions and answers. */
  samples: readonly AspectSample[];
  /** Features of the pictures. */
  store: FeatureStore;
  /** Told how many samples are done. */
  onProgress?: (done: number, total: number) => void;
}

/** Exact matches of whole answers per view: the greedy answer begins with the label's tokens. */
export async function aspectAccuracy(model: Qwen2Vl, options: AspectAccuracyOptions): Promise<Record<string, AspectAccuracy>> {
  const { aspects, samples, store, onProgress } = options;
  aspects.expectResident();
  const { gpu, network } = model;
  const { stride } = aspects;
  using memory = new Plan(gpu, "aspect tokens");
  const z = memory.persistent([aspects.views.length * stride, aspects.hidden], { label: "aspect tokens" });
  const result: Record<string, AspectAccuracy> = {};
  const byPicture = Map.groupBy(samples, ({ image }) => image);
  let done = 0;
  for (const [image, group] of byPicture) {
    const { tensor: features } = await store.get(image);
    using plan = new Plan(gpu, "aspects");
    const sequences = group.map(({ view, question, label }) => {
      const v = aspects.views.indexOf(view);
      aspects.recordForward(plan, view, { features, z: z.view([aspects.tokens, aspects.hidden], v * stride * aspects.hidden * 4) });
      const sequence = maspSequence(model, { chat: { question, answer: label }, rows: { aspects: aspects.tokenRows(v) } });
      const [start, end] = sequence.answer;
      return { ...sequence, answer: [start + 1, end] as const, weight: 1 }; // without the newline, which no question decides
    });
    using pass = new TrainingPass(network, { ...passSize(sequences), head: network.weights.head, sources: { aspects: z }, gradients: {} });
    pass.write(sequences);
    gpu.run(plan, pass.plan);
    const choices = new Uint32Array((await gpu.read(pass.choices))[0].buffer);
    let at = 0;
    group.forEach(({ view }, i) => {
      const { ids, answer: [start, end] } = sequences[i];
      const right = ids.subarray(start, end).every((id, j) => id === choices[at + j]);
      at += end - start;
      const entry = result[view] ??= { correct: 0, total: 0 };
      entry.correct += right ? 1 : 0;
      entry.total++;
    });
    onProgress?.(done += group.length, samples.length);
  }
  return result;
}
