/** The loss changes along the gradient as the gradient says: stage 1 and stage 2, with a head of its own and with a tied one. */
import { assert, assertAlmostEquals } from "@std/assert";
import type { Tensor } from "../../../kernels/tensor.ts";
import { createAspects, VIEWS } from "../../../pipeline/aspect_attend.ts";
import { loadAspectSamples } from "../../../pipeline/data/aspect_samples.ts";
import { emotionSamples } from "../../../pipeline/data/emotion_samples.ts";
import { FeatureStore } from "../../../pipeline/encode.ts";
import { loadQwen2Vl, type Qwen2Vl } from "../../../pipeline/load.ts";
import { PictureInputs } from "../../../pipeline/picture_inputs.ts";
import { createSoftPrompt } from "../../../pipeline/prompt_tune.ts";
import { AspectTrainer } from "../../../pipeline/train/aspect_trainer.ts";
import { PromptTrainer } from "../../../pipeline/train/prompt_trainer.ts";
import { train, type Trainable } from "../../../pipeline/train/training_run.ts";
import { writeVariant } from "../load/checkpoint_variants.ts";
import { DEMO_MODEL, demoExamples, demoPrompts, deviceTest, modelTest, temporaryFolder } from "../stages/support.ts";

/** Compares the slope of the loss along the gradient, by central differences, with the gradient's norm. */
async function checkSlope<S>(
  trainable: Trainable<S>,
  options: { sample: S; parameter: Tensor; gradient: () => Tensor; length: number },
): Promise<void> {
  const { sample, parameter, length } = options;
  const { gpu } = trainable;
  const lossAt = async () => {
    const [step] = await Array.fromAsync(train(trainable, { epochs: 1, learningRate: 0, samples: 1, order: () => [sample] }));
    return step.loss;
  };
  await lossAt();
  const gradient = await gpu.readFloats(options.gradient());
  const norm = Math.sqrt(gradient.reduce((sum, value) => sum + value ** 2, 0));
  assert(norm > 1e-3, `a gradient of ${norm} tells nothing`);
  const start = await gpu.readFloats(parameter);
  const at = async (distance: number) => {
    gpu.write(parameter, start.map((value, i) => value + distance * gradient[i] / norm));
    return await lossAt();
  };
  const slope = (await at(length) - await at(-length)) / (2 * length);
  gpu.write(parameter, start);
  assertAlmostEquals(slope / norm, 1, 0.01);
}

async function checkStage2(model: Qwen2Vl): Promise<void> {
  const examples = await demoExamples(1);
  const [sample] = emotionSamples(examples, { prompts: await demoPrompts(), categories: ["awe", "fear"], seed: 1, mode: "train" });
  await using store = new FeatureStore(model);
  using prompt = createSoftPrompt(model);
  using inputs = new PictureInputs(model, { store });
  using trainer = new PromptTrainer(model, { prompt, inputs });
  await checkSlope(trainer, { sample, parameter: prompt.rows, gradient: () => trainer.gradient, length: 0.02 });
}

modelTest("slope: stage 1 along queries and weights, and along the biases", async (model) => {
  const all = await loadAspectSamples(await demoExamples(2), { views: VIEWS, prompts: await demoPrompts(), seed: 1 });
  await using store = new FeatureStore(model);
  using aspects = createAspects(model, { seed: 1 });
  using trainer = new AspectTrainer(model, { aspects, store });
  const sample = all.find(({ view }) => view === "scene")!;
  for (const part of ["decayed", "biases"] as const) {
    const parameter = aspects.parameters("scene")[part];
    await checkSlope(trainer, { sample, parameter, gradient: () => trainer.gradients("scene")[part], length: 0.02 });
  }
});

modelTest("slope: stage 2", checkStage2);

deviceTest("slope: stage 2 of a model with a tied head, whose prompt rows are rows of the head as well", async (gpu) => {
  using dir = temporaryFolder();
  await writeVariant(DEMO_MODEL, dir.path, {
    tensors: ({ "lm_head.weight": _, ...tensors }) => tensors,
    config: (config) => ({ ...config, tie_word_embeddings: true }),
  });
  using model = await loadQwen2Vl(gpu, dir.path);
  await checkStage2(model);
});
