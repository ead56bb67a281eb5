/** What `deno task bench 7b` measures: each phase on a device of its own, so that its GPU memory is its own. */
import prompts from "../../../config/prompts.json" with { type: "json" };
import { type Gpu, requestGpu } from "../../../kernels/gpu.ts";
import { VIEWS } from "../../../pipeline/aspect_attend.ts";
import { AspectModules } from "../../../pipeline/aspects/aspect_modules.ts";
import { categoriesOf } from "../../../pipeline/data/categories.ts";
import { emotionQuestions } from "../../../pipeline/data/emotion_samples.ts";
import { evaluate } from "../../../pipeline/evaluate.ts";
import { loadQwen2Vl, type LoadQwen2VlOptions, type Qwen2Vl } from "../../../pipeline/load.ts";
import { PictureInputs } from "../../../pipeline/picture_inputs.ts";
import { createSoftPrompt } from "../../../pipeline/prompt_tune.ts";
import { AspectTrainer } from "../../../pipeline/train/aspect_trainer.ts";
import { PromptTrainer } from "../../../pipeline/train/prompt_trainer.ts";
import { train, type Trainable } from "../../../pipeline/train/training_run.ts";
import { normalBf16 } from "../checkpoint/normal_weights.ts";
import { printProfile, profileOf } from "../profile.ts";
import { median } from "../support.ts";
import { randomPictures, type Size, sizeName } from "./random_pictures.ts";

/** What the phases are told. */
export interface PhaseOptions {
  /** Checkpoint folder. */
  checkpoint: string;
  /** Opens a device; Deno's own WebGPU when left out. */
  open?: () => Promise<Gpu>;
  /** Number type of the weights on the GPU. */
  weights?: LoadQwen2VlOptions["weights"];
  /** Picture sizes. */
  sizes: readonly Size[];
  /** Pictures of a pass in the batched evaluation. */
  batch: number;
  /** Measurements of which the median counts. */
  repeats: number;
  /** Training steps of a measurement. */
  steps: number;
  /** Tokens over which a further token is measured. */
  tokens: number;
  /** Whether time by kernel is wanted. */
  profile?: boolean;
}

/** One figure. */
export interface Measurement {
  /** What was measured, as the reference's file names it; `WIDTHxHEIGHT/what`. */
  name: string;
  /** Milliseconds a picture, a sample or a token. */
  ms?: number;
  /** The most GPU memory that was held during the measurement, in GiB; scratch memory of larger ones before it is still there. */
  gpuGib?: number;
}

/** Loading, of one phase. */
export interface Loading {
  /** 10⁹ bytes of the checkpoint a second. */
  gigabytesPerSecond: number;
  /** Host memory at most over the start, in GiB (with a software adapter its buffers are part of it). */
  hostGib: number;
}

/** A part of the benchmark. */
export interface Phase {
  /** Measures on a model that was loaded for it. */
  run(model: Qwen2Vl, options: PhaseOptions): Promise<Measurement[]>;
  /** Number type of its weights, if another than the others'. */
  weights?: "int4";
}

/** The phases by name. */
export const PHASES: ReadonlyMap<string, Phase> = new Map<string, Phase>([
  ["evaluation", { run: evaluation }],
  ["stage1", { run: stage1 }],
  ["stage1-recompute", { run: withRecompute(stage1) }],
  ["stage2", { run: stage2 }],
  ["stage2-recompute", { run: withRecompute(stage2) }],
  ["evaluation-int4", inFourBits(evaluation)],
  ["stage1-int4", inFourBits(stage1)],
  ["stage2-recompute-int4", inFourBits(withRecompute(stage2))],
]);

/** Those that are measured where none is named: all of a model as it is kept, and with that the memory of its smallest form. */
export function usualPhases(weights: PhaseOptions["weights"] = "auto"): string[] {
  return [...PHASES].filter(([, phase]) => weights === "auto" || !phase.weights).map(([name]) => name);
}

function withRecompute(run: (model: Qwen2Vl, options: PhaseOptions & { recompute?: boolean }) => Promise<Measurement[]>): Phase["run"] {
  return (model, options) => run(model, { ...options, recompute: true });
}

/** Weights of 4 bits and the largest pictures: whether they fit is the question. */
function inFourBits(run: Phase["run"]): Phase {
  return {
    weights: "int4",
    async run(model, options) {
      const largest = options.sizes.reduce((a, b) => a[0] * a[1] < b[0] * b[1] ? b : a);
      const found = await run(model, { ...options, sizes: [largest], repeats: 1 });
      return found.map((one) => ({ ...one, name: `${one.name}, int4` }));
    },
  };
}

/** Opens a device, loads the checkpoint and runs something on it. */
export async function withModel<T>(
  options: Pick<PhaseOptions, "checkpoint" | "weights" | "open">,
  run: (model: Qwen2Vl) => Promise<T>,
): Promise<{ result: T; loading: Loading }> {
  await using gpu = await (options.open ?? requestGpu)();
  const start = Deno.memoryUsage().rss;
  let [host, size] = [start, 0];
  const begin = performance.now();
  using model = await loadQwen2Vl(gpu, options.checkpoint, {
    weights: options.weights,
    onProgress: (_, total) => {
      size = total;
      host = Math.max(host, Deno.memoryUsage().rss);
    },
  });
  await gpu.sync();
  const loading = { gigabytesPerSecond: size / (performance.now() - begin) / 1e6, hostGib: (host - start) / 2 ** 30 };
  return { result: await run(model), loading };
}

const CATEGORIES = categoriesOf("EmoSet");
/** Features that are kept from picture to picture: none in an evaluation, since every picture is new. */
const KEPT_BYTES = 64 * 2 ** 20;

async function evaluation(model: Qwen2Vl, options: PhaseOptions): Promise<Measurement[]> {
  const { sizes, batch, repeats, tokens } = options;
  using aspects = randomAspects(model);
  using prompt = createSoftPrompt(model);
  await using store = randomPictures(model, { sizes, gpuBytes: KEPT_BYTES });
  // Token by token, as PyTorch does, whatever the model answers.
  const asked = { prompts, categories: CATEGORIES, seed: 1, aspects, prompt, store, guess: false };
  let number = 0;
  const unseen = (size: Size, count: number) =>
    Array.from({ length: count }, () => ({ image: `${sizeName(size)} ${number++}`, id: "", label: CATEGORIES[0] }));
  // Answers of neighbouring passes may become readable at one moment, so whole evaluations are timed: a longer one less a shorter one.
  const measure = async (size: Size, { maxNewTokens, together }: { maxNewTokens: number; together: number }) => {
    const timed = async (passes: number) => {
      const examples = unseen(size, passes * together);
      const begin = performance.now();
      await evaluate(model, { ...asked, examples, maxNewTokens, batch: together });
      return performance.now() - begin;
    };
    const more = together > 1 ? 2 : Math.max(2, repeats); // a pass over a batch is long
    await timed(1); // compiles the kernels
    const short = await timed(1);
    return (await timed(1 + more) - short) / more / together;
  };
  const found: Measurement[] = [];
  for (const size of sizes) {
    forgetPeak(model.gpu);
    const ms = await measure(size, { maxNewTokens: 4, together: 1 });
    found.push({ name: `${sizeName(size)}/evaluate`, ms, gpuGib: gib(model.gpu) });
    const longer = await measure(size, { maxNewTokens: 4 + tokens, together: 1 });
    found.push({ name: `${sizeName(size)}/token`, ms: (longer - ms) / tokens });
    if (!options.profile) continue;
    const once = () => evaluate(model, { ...asked, examples: unseen(size, 1), maxNewTokens: 4, batch: 1 });
    await profile(model.gpu, `${sizeName(size)}, evaluation of one picture, with the head of all prompts`, once);
  }
  for (const size of batch > 1 ? sizes : []) {
    forgetPeak(model.gpu);
    const ms = await measure(size, { maxNewTokens: 4, together: batch });
    found.push({ name: `${sizeName(size)}/evaluate batch of ${batch}`, ms, gpuGib: gib(model.gpu) });
  }
  return found;
}

/** Prints time by kernel of what `work` runs. */
async function profile(gpu: Gpu, title: string, work: () => Promise<unknown>): Promise<void> {
  console.log(`\n### ${title}\n`);
  await printProfile(gpu, await profileOf(gpu, work));
}

async function stage1(model: Qwen2Vl, options: PhaseOptions & { recompute?: boolean }): Promise<Measurement[]> {
  using aspects = randomAspects(model);
  await using store = randomPictures(model, options);
  using trainer = new AspectTrainer(model, { aspects, store, recompute: options.recompute, adamW: { eightBit: true } });
  return await measureTraining(model, {
    ...options,
    name: "stage 1 step",
    trainable: trainer,
    samples: (size) =>
      VIEWS.map((view) => ({ image: `${sizeName(size)} 0`, view, question: prompts[view as "scene"][0], label: "very high" })),
  });
}

async function stage2(model: Qwen2Vl, options: PhaseOptions & { recompute?: boolean }): Promise<Measurement[]> {
  using aspects = randomAspects(model);
  using prompt = createSoftPrompt(model);
  await using store = randomPictures(model, options);
  using inputs = new PictureInputs(model, { store, aspects });
  using trainer = new PromptTrainer(model, { prompt, inputs, recompute: options.recompute });
  const [question] = emotionQuestions({ prompts, categories: CATEGORIES, seed: 1 });
  return await measureTraining(model, {
    ...options,
    name: "stage 2 step",
    trainable: trainer,
    samples: (size) => [{ image: `${sizeName(size)} 0`, question, label: "amusement" }],
  });
}

interface TrainingMeasurement<S> extends PhaseOptions {
  name: string;
  recompute?: boolean;
  trainable: Trainable<S>;
  samples: (size: Size) => S[];
}

async function measureTraining<S>(model: Qwen2Vl, options: TrainingMeasurement<S>): Promise<Measurement[]> {
  const { sizes, steps, repeats, trainable, recompute, name } = options;
  const found: Measurement[] = [];
  for (const size of sizes) {
    const once = options.samples(size);
    const samples = Array.from({ length: Math.ceil(steps / once.length) * once.length }, (_, i) => once[i % once.length]);
    const times: number[] = [];
    forgetPeak(model.gpu);
    const take = async (order: S[]) => {
      const run = train(trainable, { epochs: 1, learningRate: 1e-6, samples: order.length, order: () => order });
      for await (const _ of run); // every step is one of the samples
      await model.gpu.sync();
    };
    for (let i = 0; i <= repeats; i++) {
      const begin = performance.now();
      await take(samples);
      times.push((performance.now() - begin) / samples.length);
    }
    const what = `${name}, cached features${recompute ? ", recompute" : ""}`;
    found.push({ name: `${sizeName(size)}/${what}`, ms: median(times.slice(1)), gpuGib: gib(model.gpu) });
    if (options.profile) await profile(model.gpu, `${sizeName(size)}, ${what}, ${once.length} steps`, () => take(once));
  }
  return found;
}

/** Aspect modules with random values, made fast: the same million of them again and again. */
function randomAspects(model: Qwen2Vl): AspectModules {
  const { gpu, network: { config: { text: { hidden } } } } = model;
  const modules = new AspectModules(gpu, { views: VIEWS, tokens: 5, hidden });
  const values = (std: number) => {
    const half = new Uint16Array(2 ** 20);
    normalBf16(1, { stream: "aspects", std })(half);
    return Uint32Array.from(half, (bits) => bits << 16);
  };
  const [ofQueries, ofWeights] = [values(1), values(1 / Math.sqrt(hidden))];
  for (const view of VIEWS) {
    for (const [name, tensor] of Object.entries(modules.sections(modules.parameters(view)))) {
      const source = name === "queries" ? ofQueries : ofWeights;
      for (let at = 0; at < tensor.size; at += source.length) {
        gpu.write(tensor, source.subarray(0, tensor.size - at), { byteOffset: 4 * at });
      }
    }
  }
  return modules;
}

/** Begins a measurement: what was held before it and is no more does not count. */
function forgetPeak({ counters }: Gpu): void {
  counters.peakBytes = counters.bytes;
}

function gib(gpu: Gpu): number {
  return gpu.counters.peakBytes / 2 ** 30;
}
