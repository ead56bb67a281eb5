/** Stage 2, "prompt-tune": new prompt tokens learn to make the frozen model name the emotion, with the aspect tokens of stage 1 before it. */
import type { AspectModules } from "./aspects/aspect_modules.ts";
import { emotionSamples } from "./data/emotion_samples.ts";
import type { Example } from "./data/examples.ts";
import type { Prompts } from "./data/prompts.ts";
import { epochOrder } from "./data/sampler.ts";
import { FeatureStore } from "./encode.ts";
import type { Qwen2Vl } from "./load.ts";
import { PictureInputs } from "./picture_inputs.ts";
import type { SoftPrompt } from "./soft_prompt.ts";
import type { AdamWSettings } from "./train/adamw_settings.ts";
import { aspectsFingerprint, samplesFingerprint, weightTypes } from "./train/fingerprint.ts";
import { PromptTrainer } from "./train/prompt_trainer.ts";
import { train, type TrainingOptions, type TrainingStep } from "./train/training_run.ts";

export { compareTuning, createSoftPrompt, loadSoftPrompt, SoftPrompt, type SoftPromptOptions } from "./soft_prompt.ts";

/** Options of {@linkcode tunePrompt}. */
export interface TunePromptOptions extends Omit<TrainingOptions, "epochs" | "learningRate"> {
  /** Pictures with labels. */
  examples: readonly Example[];
  /** Questions; the templates under `emotion` are used. */
  prompts: Prompts;
  /** Emotions to choose from. */
  categories: readonly string[];
  /** Trained aspect modules; left out, the prompt is tuned without aspect tokens. */
  aspects?: AspectModules;
  /** Seed of questions and order. */
  seed?: number;
  /** Passes over the pictures; 1 when left out. */
  epochs?: number;
  /** Highest learning rate; 5e-6 when left out. */
  learningRate?: number;
  /** Optimizer. */
  adamW?: AdamWSettings;
  /** Compute each layer again in the backward pass, for less memory. */
  recompute?: boolean;
  /** Where features come from; a store in GPU memory when left out. */
  store?: FeatureStore;
}

/**
 * Tunes a soft prompt. Every step is yielded, some steps at a time.
 *
 * @throws {MaspError} when a picture cannot be decoded, or a loss is not finite
 */
export async function* tunePrompt(model: Qwen2Vl, prompt: SoftPrompt, options: TunePromptOptions): AsyncGenerator<TrainingStep> {
  const { examples, prompts, categories, aspects, seed = 0, adamW, recompute, ...training } = options;
  const samples = emotionSamples(examples, { prompts, categories, seed, mode: "train" });
  await using own = new AsyncDisposableStack();
  const store = options.store ?? own.use(new FeatureStore(model));
  using inputs = new PictureInputs(model, { store, aspects });
  using trainer = new PromptTrainer(model, { prompt, inputs, adamW, recompute });
  prompt.tunedWith = aspects?.views ?? [];
  yield* train(trainer, {
    epochs: 1,
    learningRate: 5e-6,
    ...training,
    identity: {
      stage: 2,
      model: model.modelId,
      weights: weightTypes(model),
      precision: model.gpu.precision,
      seed,
      categories,
      tokens: prompt.tokens.length,
      layout: prompt.layout,
      views: aspects?.views,
      "aspect modules": aspects && await aspectsFingerprint(model.gpu, aspects),
      adamW,
      "pictures, questions and answers": samplesFingerprint(samples),
      ...training.identity,
    },
    samples: samples.length,
    order: (epoch) => epochOrder(samples, { seed, epoch }),
  });
}
