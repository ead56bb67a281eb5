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
import { printProfile, profileOf } from "./profile.ts";
import type { BenchOptions } from "./support.ts";

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
  using single = new AspectTrainer(model, { aspects, store, groupViews: 1 });
  await measure(gpu, { name: "stage-1 step, one after the other", trainable: single, samples, steps });
  using aspectTrainer = new AspectTrainer(model, { aspects, store });
  await measure(gpu, { name: "stage-1 step, views together", trainable: aspectTrainer, samples, steps, profile: options.profile });

  using inputs = new PictureInputs(model, { store, aspects });
  using prompt = createSoftPrompt(model);
  const questions = emotionSamples(examples, { prompts, categories, seed: 1, mode: "train" });
  using promptTrainer = new PromptTrainer(model, { prompt, inputs });
  for (const { image } of questions) await inputs.load(image); // aspect tokens are computed once a run
  const order = epochOrder(questions, { seed: 1, epoch: 0 });
  await measure(gpu, { name: "stage-2 step", trainable: promptTrainer, samples: order, steps, profile: options.profile });

  const test = (await loadExamples(options.data, { split: "test" })).slice(0, steps);
  const asked = { prompts, categories, aspects, prompt, seed: 1 };
  for (const batch of [1, 4, 8]) {
    await evaluate(model, { ...asked, batch, examples: test.slice(0, 2 * batch) }); // compiles
    const begin = performance.now();
    await evaluate(model, { ...asked, batch, examples: test });
    const time = (performance.now() - begin) / test.length;
    console.log(`evaluated picture, ${batch} a pass: ${time.toFixed(1)} ms (from the file to the answer; mean of ${test.length})`);
  }
}

async function measure<S>(
  gpu: Gpu,
  options: { name: string; trainable: Trainable<S>; samples: readonly S[]; steps: number; profile?: boolean },
): Promise<void> {
  const { name, trainable, samples, steps, profile } = options;
  const run = { epochs: 1, learningRate: 1e-3, samples: samples.length, order: () => samples, maxSteps: steps };
  const take = async () => {
    for await (const _ of train(trainable, run)); // losses are read as in a run
    await gpu.sync();
  };
  await take(); // in which every shape comes up and is compiled
  const before = { ...gpu.counters };
  const begin = performance.now();
  await take();
  const time = (performance.now() - begin) / steps;
  const { pipelines, bindGroups, dispatches } = gpu.counters;
  const made = `${pipelines - before.pipelines} pipelines and ${bindGroups - before.bindGroups} bind groups created meanwhile`;
  const perStep = Math.round((dispatches - before.dispatches) / steps);
  console.log(`${name}: ${time.toFixed(1)} ms (mean of ${steps} steps; ${perStep} dispatches a step; ${made})`);
  if (profile) await printProfile(gpu, await profileOf(gpu, take));
}
