/**
 * What a run will hold on the GPU, before anything is loaded: the run's own code takes a few steps on a device that only counts, with
 * pictures and questions of the right sizes. So the numbers follow every change of the program.
 */
import type { EvalSettings, Stage1Settings, Stage2Settings } from "../config/schema_settings.ts";
import { countingGpu } from "../kernels/counting_gpu.ts";
import type { Gpu } from "../kernels/gpu.ts";
import { AspectModules } from "./aspects/aspect_modules.ts";
import { loadPrompts, type Prompts, questionsOf } from "./data/prompts.ts";
import { FEATURE_BYTES, FeatureStore } from "./encode.ts";
import { DEFAULT_BATCH, evaluate } from "./evaluate.ts";
import { loadQwen2Vl, type Qwen2Vl } from "./load.ts";
import { ASPECT_BYTES, aspectBytes, PictureInputs } from "./picture_inputs.ts";
import { createSoftPrompt } from "./prompt_tune.ts";
import { AspectTrainer } from "./train/aspect_trainer.ts";
import { PromptTrainer } from "./train/prompt_trainer.ts";
import { train } from "./train/training_run.ts";

/** Settings of a run that needs a GPU. */
export type RunSettings = Stage1Settings | Stage2Settings | EvalSettings;

/** Bytes on the GPU. */
export interface MemoryNeed {
  /** Weights of the base model and its tables. */
  weights: number;
  /** Aspect modules, soft prompt, and their gradients and moments where they train. */
  trained: number;
  /** Visual features and aspect tokens that are kept from step to step. */
  features: number;
  /** Keys and values, activations, logits: all that a step computes. */
  activations: number;
  /** All of it. */
  total: number;
}

/** Options of {@linkcode estimateMemory}. */
export interface EstimateMemoryOptions {
  /** Checkpoint folder. */
  dir: string;
  /** Width and height of pictures, in pixels, before resizing: one of each size that will come up; 1024×768 and 640×480 when left out. */
  pictures?: readonly (readonly [width: number, height: number])[];
  /** How many pictures there are; so many that the kept features reach their limit when left out. */
  count?: number;
}

const PICTURES = [[1024, 768], [640, 480]] as const;
/** An answer as long as most. */
const LABEL = "a tall green tree";

/**
 * What a run will need on the GPU at most.
 *
 * @param gpu the device that it will run on
 * @param settings the run's settings
 * @throws {MaspError} when the checkpoint folder or the questions are not as they should be
 */
export async function estimateMemory(gpu: Gpu, settings: RunSettings, options: EstimateMemoryOptions): Promise<MemoryNeed> {
  const { dir, pictures = PICTURES, count = Infinity } = options;
  const prompts = await loadPrompts(settings.promptsPath);
  await using counting = await countingGpu(gpu);
  using model = await loadQwen2Vl(counting, dir, { weights: settings.weights, sizesOnly: true });
  const { counters } = counting;
  const weights = counters.bytes;
  const blank = pictures.map(([width, height]) => model.processor.process({ width, height, data: new Uint8Array(3 * width * height) }))
    .sort((a, b) => b.tokens - a.tokens);
  if (settings.stage === "eval") { // a pass of nothing but the largest
    const { batch = DEFAULT_BATCH } = settings;
    blank.unshift(...Array.from({ length: Math.min(batch, count) - 1 }, () => blank[0]));
  }
  const limit = FEATURE_BYTES;
  await using store = new FeatureStore(model, { gpuBytes: limit, read: (name) => Promise.resolve(blank[Number(name)]) });
  using aspects = new AspectModules(counting, aspectSizes(settings, model), {
    offload: settings.stage === "stage1" && settings.offloadViews,
  });
  const trained = await takeSteps(model, settings, { prompts, store, aspects, images: blank.map((_, i) => String(i)) });
  const { hidden } = model.network.config.text;
  const largest = 4 * hidden * blank[0].tokens;
  const counted = 4 * hidden * blank.reduce((sum, { tokens }) => sum + tokens, 0);
  const features = Math.min(limit + largest, Math.max(count, blank.length) * largest);
  // Aspect tokens of the pictures that the steps did not come to; stage 1 keeps none.
  const others = Math.max(0, count - blank.length);
  const keptTokens = settings.stage === "stage1" ? 0 : Math.min(others * aspectBytes(aspects), ASPECT_BYTES);
  const total = counters.peakBytes + Math.max(0, features - counted) + keptTokens;
  const kept = features + keptTokens;
  return { weights, trained, features: kept, activations: total - weights - trained - kept, total };
}

interface Parts {
  prompts: Prompts;
  store: FeatureStore;
  aspects: AspectModules;
  images: readonly string[];
}

/** A few steps of the run. @returns bytes of what was trained or trains */
async function takeSteps(model: Qwen2Vl, settings: RunSettings, parts: Parts): Promise<number> {
  const { prompts, store, aspects, images } = parts;
  const module = bytesOf(...Object.values(aspects.parameters(aspects.views[0])));
  const modules = aspects.offloaded ? module : module * aspects.views.length;
  if (settings.stage === "stage1") {
    using trainer = new AspectTrainer(model, { aspects, store, adamW: settings.adamW, recompute: settings.recompute });
    const samples = images.flatMap((image) =>
      settings.views.map((view) => ({ image, view, question: longest(questionsOf(prompts, view)), label: LABEL }))
    );
    await run(train(trainer, { ...settings.run, ...ONCE, samples: samples.length, order: () => samples }));
    const moments = settings.adamW.eightBit ? 2 / 4 : 2; // of every view, in parameters; the gradients of one
    return modules * (1 + moments) + module;
  }
  const categories = settings.categories;
  const count = settings.stage === "stage2" ? settings.promptTokens : 32;
  using prompt = createSoftPrompt(model, { count, layout: settings.layout });
  if (settings.stage === "stage2") {
    using inputs = new PictureInputs(model, { store, aspects });
    using trainer = new PromptTrainer(model, { prompt, inputs, adamW: settings.adamW, recompute: settings.recompute });
    const question = longest(questionsOf(prompts, "emotion")).replaceAll("{}", () => JSON.stringify(categories));
    const samples = images.map((image) => ({ image, question, label: longest(categories) }));
    await run(train(trainer, { ...settings.run, ...ONCE, samples: samples.length, order: () => samples }));
    return modules + 4 * bytesOf(prompt.rows);
  }
  const examples = images.map((image) => ({ image, id: image, label: categories[0] }));
  const { batch, maxNewTokens } = settings;
  await evaluate(model, { examples, prompts, categories, aspects, prompt, store, batch, maxNewTokens });
  return modules + bytesOf(prompt.rows);
}

const ONCE = { epochs: 1, maxSteps: undefined, checkpointDir: undefined, resume: false } as const;

async function run(steps: AsyncIterable<unknown>): Promise<void> {
  for await (const _ of steps); // each step is counted as it is taken
}

function aspectSizes(settings: RunSettings, model: Qwen2Vl): { views: readonly string[]; tokens: number; hidden: number } {
  const tokens = settings.stage === "stage1" ? settings.viewTokens : 5;
  return { views: settings.views, tokens, hidden: model.network.config.text.hidden };
}

function bytesOf(...tensors: { bytes: number }[]): number {
  return tensors.reduce((sum, { bytes }) => sum + bytes, 0);
}

function longest(texts: readonly string[]): string {
  return texts.reduce((a, b) => b.length > a.length ? b : a);
}
