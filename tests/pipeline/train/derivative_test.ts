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
import { randomFloats } from "../../kernels/support.ts";
import { writeVariant } from "../load/checkpoint_variants.ts";
import { DEMO_MODEL, demoExamples, demoPrompts, deviceTest, modelTest, temporaryFolder } from "../stages/support.ts";

/** Compares the slope of the loss, by central differences, with what the gradient says: along it, and along random directions. */
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
  const slopeAlong = async (direction: Float32Array, length: number) => {
    const at = (distance: number) => {
      gpu.write(parameter, start.map((value, i) => value + distance * direction[i]));
      return lossAt();
    };
    return (await at(length) - await at(-length)) / (2 * length);
  };
  assertAlmostEquals(await slopeAlong(gradient.map((value) => value / norm), length) / norm, 1, 0.01);
  const size = Math.sqrt(start.length); // along the gradient alone, a part that is missing and at right angles to the rest would not show
  for (const seed of [1, 2]) {
    const direction = randomFloats(start.length, seed, { scale: 1 / size });
    const expected = direction.reduce((sum, value, i) => sum + value * gradient[i], 0);
    assertAlmostEquals(await slopeAlong(direction, 0.2), expected, 0.1 * norm / size);
  }
  gpu.write(parameter, start);
}

async function checkStage2(model: Qwen2Vl, { rows, tokens }: { rows?: Float32Array; tokens?: number } = {}): Promise<void> {
  const examples = await demoExamples(1);
  const [sample] = emotionSamples(examples, { prompts: await demoPrompts(), categories: ["awe", "fear"], seed: 1, mode: "train" });
  await using store = new FeatureStore(model);
  using prompt = createSoftPrompt(model, { count: tokens });
  if (rows) model.gpu.write(prompt.rows, rows);
  using inputs = new PictureInputs(model, { store });
  using trainer = new PromptTrainer(model, { prompt, inputs });
  await checkSlope(trainer, { sample, parameter: prompt.rows, gradient: () => trainer.gradient, length: 0.005 });
}

modelTest("slope: stage 1 along queries and weights, and along the biases", async (model) => {
  const all = await loadAspectSamples(await demoExamples(2), { views: VIEWS, prompts: await demoPrompts(), seed: 1 });
  await using store = new FeatureStore(model);
  using aspects = createAspects(model, { seed: 1 });
  using trainer = new AspectTrainer(model, { aspects, store });
  const sample = all.find(({ view }) => view === "scene")!;
  for (const part of ["decayed", "biases"] as const) {
    const parameter = aspects.parameters("scene")[part];
    await checkSlope(trainer, { sample, parameter, gradient: () => trainer.gradients("scene")[part], length: 0.005 });
  }
});

modelTest("slope: stage 2", (model) => checkStage2(model));

deviceTest("slope: stage 2 of a model with a tied head, whose prompt rows are rows of the head as well", async (gpu) => {
  using dir = temporaryFolder();
  await writeVariant(DEMO_MODEL, dir.path, {
    tensors: ({ "lm_head.weight": _, ...tensors }) => tensors,
    config: (config) => ({ ...config, tie_word_embeddings: true }),
  });
  using model = await loadQwen2Vl(gpu, dir.path);
  const { hidden } = model.network.config.text;
  // Rows so large that they are probable answers; also of a number that no vector holds.
  for (const tokens of [32, 30]) await checkStage2(model, { tokens, rows: randomFloats(tokens * hidden, 5, { scale: 0.3 }) });
});
