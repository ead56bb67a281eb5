/**
 * Stage 1, "aspect-attend": for each view of a picture, query vectors and cross-attention learn to put the visual features into a few tokens
 * from which the frozen language model reads the view's answer.
 */
import { type AspectModules, createAspectModules, loadAspectModules } from "./aspects/aspect_modules.ts";
import { loadAspectSamples } from "./data/aspect_samples.ts";
import type { Example } from "./data/examples.ts";
import type { Prompts } from "./data/prompts.ts";
import { epochOrder } from "./data/sampler.ts";
import { FeatureStore } from "./encode.ts";
import { MaspError } from "./errors.ts";
import type { Qwen2Vl } from "./load.ts";
import type { AdamWSettings } from "./train/adamw_settings.ts";
import { AspectTrainer } from "./train/aspect_trainer.ts";
import { samplesFingerprint, weightTypes } from "./train/fingerprint.ts";
import { train, type TrainingOptions, type TrainingStep } from "./train/training_run.ts";

/** The paper's views, in its order. */
export const VIEWS: readonly string[] = ["facial_expression", "object", "scene", "human_action", "brightness", "colorfulness"];

/** Options of {@linkcode createAspects}. */
export interface CreateAspectsOptions {
  /** Views; {@linkcode VIEWS} when left out. */
  views?: readonly string[];
  /** Query vectors of a view; 5 when left out. */
  tokens?: number;
  /** Seed of the first values. */
  seed?: number;
  /**
   * Keep one view's parameters and moments at a time on the GPU and the others' in host memory, where GPU memory is short. Steps of a view
   * are then taken in turn, with the same result.
   */
  offload?: boolean;
}

/** New aspect modules for a model. */
export function createAspects(model: Qwen2Vl, options: CreateAspectsOptions = {}): AspectModules {
  const { views = VIEWS, tokens = 5, seed = 0, offload } = options;
  return createAspectModules(model.gpu, { views, tokens, seed, offload, hidden: model.network.config.text.hidden });
}

/**
 * Trained aspect modules from a file: `.safetensors`, or the reference's `.pth`.
 *
 * @throws {MaspError} when the file does not fit the model or lacks a view
 */
export function loadAspects(model: Qwen2Vl, path: string, options: { views?: readonly string[] } = {}): Promise<AspectModules> {
  return loadAspectModules(model.gpu, path, { ...options, hidden: model.network.config.text.hidden });
}

/** Options of {@linkcode trainAspects}. */
export interface TrainAspectsOptions extends Omit<TrainingOptions, "epochs" | "learningRate"> {
  /** Pictures with annotations. */
  examples: readonly Example[];
  /** Questions by view. */
  prompts: Prompts;
  /** Seed of questions and order. */
  seed?: number;
  /** Passes over the samples; 3 when left out. */
  epochs?: number;
  /** Highest learning rate; 1e-5 when left out. */
  learningRate?: number;
  /** Optimizer. */
  adamW?: AdamWSettings;
  /** Compute each layer again in the backward pass, for less memory. */
  recompute?: boolean;
  /**
   * Steps of different views that share a pass through the language model at most, where a step has one sample; the result is the same.
   * As many as there are views and as fit into memory when left out.
   */
  groupViews?: number;
  /** Where features come from; a store in GPU memory when left out. */
  store?: FeatureStore;
}

/**
 * Trains aspect modules. Every step is yielded, some steps at a time.
 *
 * @throws {MaspError} when no annotation has one of the views, a picture cannot be decoded, or a loss is not finite
 */
export async function* trainAspects(model: Qwen2Vl, aspects: AspectModules, options: TrainAspectsOptions): AsyncGenerator<TrainingStep> {
  const { examples, prompts, seed = 0, adamW, recompute, groupViews, ...training } = options;
  const samples = await loadAspectSamples(examples, { views: aspects.views, prompts, seed });
  if (samples.length === 0) {
    throw new MaspError(
      `None of the ${examples.length} pictures has an annotation of ${aspects.views.join(", ")}. ` +
        "Stage 1 needs EmoSet's layout: annotation/LABEL/ID.json beside the pictures' folder.",
    );
  }
  await using own = new AsyncDisposableStack();
  const store = options.store ?? own.use(new FeatureStore(model));
  using trainer = new AspectTrainer(model, { aspects, store, adamW, recompute, groupViews });
  yield* train(trainer, {
    epochs: 3,
    learningRate: 1e-5,
    ...training,
    identity: {
      stage: 1,
      model: model.modelId,
      weights: weightTypes(model),
      precision: model.gpu.precision,
      seed,
      views: aspects.views,
      tokens: aspects.tokens,
      adamW,
      "pictures, questions and answers": samplesFingerprint(samples),
      ...training.identity,
    },
    samples: samples.length,
    order: (epoch) => epochOrder(samples, { seed, epoch }),
  });
}
