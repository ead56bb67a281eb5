/** Gradients of a step: the mean over its samples, however they are put into batches, with layers kept or computed again. */
import { assert, assertEquals, assertLess } from "@std/assert";
import { createAspects, VIEWS } from "../../../pipeline/aspect_attend.ts";
import { type AspectSample, loadAspectSamples } from "../../../pipeline/data/aspect_samples.ts";
import { emotionSamples } from "../../../pipeline/data/emotion_samples.ts";
import type { Example } from "../../../pipeline/data/examples.ts";
import { FeatureStore } from "../../../pipeline/encode.ts";
import type { Qwen2Vl } from "../../../pipeline/load.ts";
import { PictureInputs } from "../../../pipeline/picture_inputs.ts";
import { createSoftPrompt } from "../../../pipeline/prompt_tune.ts";
import { AspectTrainer } from "../../../pipeline/train/aspect_trainer.ts";
import { PromptTrainer } from "../../../pipeline/train/prompt_trainer.ts";
import { train, type Trainable, type TrainingStep } from "../../../pipeline/train/training_run.ts";
import { relativeError } from "../../kernels/support.ts";
import { demoExamples, demoPrompts, modelTest, temporaryFolder } from "../stages/support.ts";
import { resizedPicture } from "./resized_picture.ts";

/** Of f32 numbers on their way through the layers and back, where a sample weighs a third. */
const ROUNDING = 4e-6;

interface Grouping {
  batchSize?: number;
  gradientAccumulation?: number;
}

/** One step of rate 0, which leaves the parameters alone; its gradients can be read afterwards. */
async function stepOn<S>(trainable: Trainable<S>, samples: readonly S[], grouping: Grouping = {}): Promise<TrainingStep> {
  const run = { epochs: 1, learningRate: 0, ...grouping, samples: samples.length, order: () => samples };
  const steps = await Array.fromAsync(train(trainable, run));
  assertEquals(steps.length, 1);
  return steps[0];
}

function mean(gradients: readonly ArrayLike<number>[], count = gradients.length): Float64Array {
  return Float64Array.from({ length: gradients[0].length }, (_, i) => gradients.reduce((sum, gradient) => sum + gradient[i], 0) / count);
}

/** Three pictures of three sizes: 25, 35 and 12 visual tokens. */
async function picturesOfSizes(dir: string): Promise<Example[]> {
  const examples = await demoExamples(3);
  const sizes = [undefined, [196, 140], [84, 112]] as const;
  return await Promise.all(
    examples.map(async (example, i) => ({
      ...example,
      image: sizes[i] ? await resizedPicture(example.image, { dir, size: sizes[i] }) : example.image,
    })),
  );
}

/** Three samples of stage 1, two of them about the same view. */
function threeAspectSamples(all: readonly AspectSample[], images: readonly string[]): AspectSample[] {
  const find = (image: string, view: string) => all.find((sample) => sample.image === image && sample.view === view)!;
  return [find(images[0], "brightness"), find(images[1], "brightness"), find(images[2], "colorfulness")];
}

async function stage1Gradients(model: Qwen2Vl, options: { recompute: boolean }) {
  using dir = temporaryFolder();
  const examples = await picturesOfSizes(dir.path);
  const prompts = await demoPrompts();
  const all = await loadAspectSamples(examples, { views: VIEWS, prompts, seed: 1 });
  const samples = threeAspectSamples(all, examples.map(({ image }) => image));
  await using store = new FeatureStore(model);
  using aspects = createAspects(model, { seed: 1 });
  using trainer = new AspectTrainer(model, { aspects, store, recompute: options.recompute });
  const read = async (view: string) => {
    const { decayed, biases } = trainer.gradients(view);
    const parts = await model.gpu.read(biases, decayed);
    return new Float32Array(await new Blob(parts).arrayBuffer());
  };
  const singles: { loss: number; gradient: Float32Array }[] = [];
  for (const sample of samples) singles.push({ loss: (await stepOn(trainer, [sample])).loss, gradient: await read(sample.view) });
  const together: { loss: number; norm: number; gradients: Float32Array[] }[] = [];
  for (const grouping of [{ batchSize: 3 }, { gradientAccumulation: 3 }]) {
    const { loss, gradientNorm } = await stepOn(trainer, samples, grouping);
    together.push({ loss, norm: gradientNorm, gradients: [await read("brightness"), await read("colorfulness")] });
  }
  return { singles, together };
}

modelTest("stage 1: batch 3 = accumulation 3 = mean of single samples, for pictures of different sizes", async (model) => {
  const { singles, together } = await stage1Gradients(model, { recompute: false });
  const [a, b, c] = singles.map(({ gradient }) => gradient);
  assert(relativeError(a, b) > 0.1, "the samples have the same gradient: the test would see nothing");
  const expected = [mean([a, b], 3), mean([c], 3)];
  const loss = singles.reduce((sum, single) => sum + single.loss / 3, 0);
  const norm = Math.sqrt(expected.flatMap((gradient) => [...gradient]).reduce((sum, value) => sum + value ** 2, 0));
  for (const { gradients, ...step } of together) {
    gradients.forEach((gradient, i) => assertLess(relativeError(gradient, expected[i]), ROUNDING));
    assertLess(Math.abs(step.loss - loss) / loss, ROUNDING);
    assertLess(Math.abs(step.norm - norm) / norm, ROUNDING);
  }
  const recomputed = await stage1Gradients(model, { recompute: true });
  assertEquals(recomputed, { singles, together }, "gradient_checkpointing changes the result");
});

async function stage2Gradients(model: Qwen2Vl, options: { recompute: boolean; layout: "code" | "paper" }) {
  const { recompute, layout } = options;
  using dir = temporaryFolder();
  const examples = await picturesOfSizes(dir.path);
  const categories = ["awe", "fear", "anger", "sadness"];
  const samples = emotionSamples(examples, { prompts: await demoPrompts(), categories, seed: 2, mode: "train" });
  await using store = new FeatureStore(model);
  using aspects = createAspects(model, { seed: 1 });
  using prompt = createSoftPrompt(model, { layout });
  using inputs = new PictureInputs(model, { store, aspects });
  using trainer = new PromptTrainer(model, { prompt, inputs, recompute });
  const singles: { loss: number; gradient: Float32Array }[] = [];
  const read = () => model.gpu.readFloats(trainer.gradient);
  for (const sample of samples) singles.push({ loss: (await stepOn(trainer, [sample])).loss, gradient: await read() });
  const together: { loss: number; gradient: Float32Array }[] = [];
  for (const grouping of [{ batchSize: 3 }, { gradientAccumulation: 3 }]) {
    together.push({ loss: (await stepOn(trainer, samples, grouping)).loss, gradient: await read() });
  }
  return { singles, together };
}

modelTest("stage 2: batch 3 = accumulation 3 = mean of single samples, for pictures of different sizes", async (model) => {
  const results = [];
  for (const layout of ["code", "paper"] as const) {
    const { singles, together } = await stage2Gradients(model, { recompute: false, layout });
    const loss = singles.reduce((sum, single) => sum + single.loss / 3, 0);
    const expected = mean(singles.map(({ gradient }) => gradient));
    assert(relativeError(singles[0].gradient, singles[1].gradient) > 0.1, "the samples have the same gradient: the test would see nothing");
    for (const step of together) {
      assertLess(relativeError(step.gradient, expected), ROUNDING);
      assertLess(Math.abs(step.loss - loss) / loss, ROUNDING);
    }
    assertEquals(
      await stage2Gradients(model, { recompute: true, layout }),
      { singles, together },
      "gradient_checkpointing changes the result",
    );
    results.push(expected);
  }
  assert(relativeError(results[0], results[1]) > 0.1, "both layouts have the same gradient");
});
