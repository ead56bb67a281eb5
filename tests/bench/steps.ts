/** Milliseconds of a stage-1 step, a stage-2 step and an evaluated picture; what is created after the first steps. */
import type { Gpu } from "../../kernels/gpu.ts";
import { createAspects, VIEWS } from "../../pipeline/aspect_attend.ts";
import { evaluate } from "../../pipeline/evaluate.ts";
import { loadAspectSamples } from "../../pipeline/data/aspect_samples.ts";
import { categoriesOf } from "../../pipeline/data/categories.ts";
import { emotionSamples } from "../../pipeline/data/emotion_samples.ts";
import { loadExamples } from "../../pipeline/data/examples.ts";
import { loadPrompts } from "../../pipeline/data/prompts.ts";
import { epochOrder } from "../../pipeline/data/sampler.ts";
import { FeatureStore } from "../../pipeline/encode.ts";
import { loadQwen2Vl } from "../../pipeline/load.ts";
import { PictureInputs } from "../../pipeline/picture_inputs.ts";
import { createSoftPrompt } from "../../pipeline/prompt_tune.ts";
import { AspectTrainer } from "../../pipeline/train/aspect_trainer.ts";
import { PromptTrainer } from "../../pipeline/train/prompt_trainer.ts";
import { train, type Trainable } from "../../pipeline/train/training_run.ts";
import { type BenchOptions, median, printProfile } from "./support.ts";

/** Steps before the measurement, in which every shape comes up and is compiled. */
const WARM_UP = 48;

/** Runs the benchmark. */
export async function benchSteps(gpu: Gpu, options: BenchOptions): Promise<void> {
  const { steps } = options;
  using model = await loadQwen2Vl(gpu, options.model);
  const prompts = await loadPrompts("demo/prompts.json");
  const examples = await loadExamples(options.data, { split: "train" });
  const categories = categoriesOf("EmoSet");
  await using store = new FeatureStore(model);
  const begin = performance.now();
  for (const { image } of examples) await store.get(image);
  await gpu.sync();
  console.log(`encoding: ${((performance.now() - begin) / examples.length).toFixed(1)} ms a picture (decoding, resizing, vision tower)`);

  using aspects = createAspects(model, { seed: 1 });
  const samples = epochOrder(await loadAspectSamples(examples, { views: VIEWS, prompts, seed: 1 }), { seed: 1, epoch: 0 });
  using aspectTrainer = new AspectTrainer(model, { aspects, store });
  await measure(gpu, { name: "stage-1 step", trainable: aspectTrainer, samples, steps });
  if (options.profile) await printProfile(aspectTrainer.recentPlans);

  using inputs = new PictureInputs(model, { store, aspects });
  using prompt = createSoftPrompt(model);
  const questions = emotionSamples(examples, { prompts, categories, seed: 1, mode: "train" });
  using promptTrainer = new PromptTrainer(model, { prompt, inputs });
  for (const { image } of questions) await inputs.load(image); // aspect tokens are computed once a run
  await measure(gpu, { name: "stage-2 step", trainable: promptTrainer, samples: epochOrder(questions, { seed: 1, epoch: 0 }), steps });
  if (options.profile) await printProfile(promptTrainer.recentPlans);

  const test = (await loadExamples(options.data, { split: "test" })).slice(0, 8 + steps);
  const times: number[] = [];
  let last = performance.now();
  await evaluate(model, {
    examples: test,
    prompts,
    categories,
    aspects,
    prompt,
    seed: 1,
    onPrediction: () => {
      const now = performance.now();
      times.push(now - last);
      last = now;
    },
  });
  console.log(`evaluated picture: ${median(times.slice(8)).toFixed(1)} ms (from the file to the answer; median of ${times.length - 8})`);
}

async function measure<S>(
  gpu: Gpu,
  options: { name: string; trainable: Trainable<S>; samples: readonly S[]; steps: number },
): Promise<void> {
  const { name, trainable, samples, steps } = options;
  const run = { epochs: 1, learningRate: 1e-3, samples: samples.length, order: () => samples };
  const before = gpu.counters.dispatches;
  let after: { pipelines: number; bindGroups: number } | undefined;
  let count = 0;
  const times: number[] = [];
  let last = performance.now();
  for await (const _ of train(trainable, { ...run, maxSteps: WARM_UP + steps })) {
    count++;
    if (count % 8) continue; // losses are read for eight steps at a time
    const now = performance.now();
    if (after) times.push((now - last) / 8);
    last = now;
    if (count >= WARM_UP) after ??= { ...gpu.counters };
  }
  const { pipelines, bindGroups, dispatches } = gpu.counters;
  const made = after ? `${pipelines - after.pipelines} pipelines and ${bindGroups - after.bindGroups} bind groups created meanwhile` : "";
  const perStep = Math.round((dispatches - before) / count);
  console.log(`${name}: ${median(times).toFixed(1)} ms (median over ${times.length} times 8 steps; ${perStep} dispatches a step; ${made})`);
}
