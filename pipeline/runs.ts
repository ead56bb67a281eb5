/**
 * Whole runs from settings: what the tasks `stage1`, `stage2`, `encode` and `eval` do. A training run leaves in its folder the settings as
 * they were resolved (`settings.yaml`), a line per logged step (`metrics.jsonl`), checkpoints, and what was trained.
 */
import { join } from "@std/path";
import { findModelFolder } from "../config/find_model_folder.ts";
import type { CommonSettings, EvalSettings, LaterSettings, Stage1Settings, Stage2Settings } from "../config/schema_settings.ts";
import type { Gpu } from "../kernels/gpu.ts";
import { createAspects, loadAspects, trainAspects } from "./aspect_attend.ts";
import { type Example, loadExamples, type Split } from "./data/examples.ts";
import { loadPrompts, type Prompts, questionsOf } from "./data/prompts.ts";
import { FeatureStore } from "./encode.ts";
import { requireWritable } from "./feature_cache.ts";
import { DEFAULT_BATCH, evaluate, type EvaluateOptions, type Evaluation } from "./evaluate.ts";
import { writeEvaluation } from "./evaluation_folder.ts";
import { expectWritable, lockFolder } from "./folder_lock.ts";
import { freeDisk } from "./free_disk.ts";
import { loadQwen2Vl, type Qwen2Vl } from "./load.ts";
import { bytesText } from "./memory_advice.ts";
import { type SkippedPicture, usablePictures } from "./pictures.ts";
import { compareTuning, createSoftPrompt, loadSoftPrompt, tunePrompt } from "./prompt_tune.ts";
import { evaluationPaths, type EvaluationReportPaths, filePrefix } from "./report/report_files.ts";
import { recordPictures } from "./run_records.ts";
import { requireTrained } from "./trained_files.ts";
import { followTraining, type TrainingEnd } from "./training_folder.ts";
import { weightTypes } from "./train/fingerprint.ts";
import type { TrainingStep } from "./train/training_run.ts";

/** What a run tells while it goes on. */
export interface RunHooks {
  /** Bytes of the checkpoint that were read. */
  onLoad?: (bytes: number, total: number) => void;
  /** Something worth a line. */
  onNotice?: (text: string) => void;
  /** A finished step. */
  onStep?: (step: TrainingStep) => void;
  /** A prediction. */
  onPrediction?: EvaluateOptions["onPrediction"];
  /** Pictures that were looked at before the run, to see whether they can be used. */
  onCheck?: (done: number, total: number) => void;
  /** Pictures that were encoded. */
  onPicture?: (done: number, total: number) => void;
  /** Ends the run cleanly, with a checkpoint; while the pictures are looked at, before the run, its reason is thrown. */
  signal?: AbortSignal;
}

/** How a training run ended. */
export interface TrainingOutcome extends TrainingEnd {
  /** Pictures that were left out. */
  skipped: SkippedPicture[];
}

/** Stage 1 from settings. @param options whether to go on from the last checkpoint */
export async function runStage1(
  gpu: Gpu,
  settings: Stage1Settings,
  options: RunHooks & { resume?: boolean } = {},
): Promise<TrainingOutcome> {
  const prompts = await promptsOf(settings, settings.views);
  const { examples, skipped } = await picturesOf(settings, { split: "train", hooks: options });
  await expectWritable(settings.outputDir);
  using model = await modelOf(gpu, settings, options);
  await using store = storeOf(model, settings, options);
  const { views, viewTokens, offloadViews } = settings;
  using aspects = createAspects(model, { views, tokens: viewTokens, seed: settings.seed, offload: offloadViews });
  const { adamW, recompute, seed, groupViews } = settings;
  const end = await followTraining(settings, { ...options, gpu }, {
    start: (training) => trainAspects(model, aspects, { ...training, examples, prompts, seed, adamW, recompute, groupViews, store }),
    save: (path) => aspects.save(path),
  });
  return { ...end, skipped };
}

/** Stage 2 from settings. @param options whether to go on from the last checkpoint; `plain` tunes without aspect tokens */
export async function runStage2(
  gpu: Gpu,
  settings: Stage2Settings,
  options: RunHooks & { resume?: boolean; plain?: boolean } = {},
): Promise<TrainingOutcome> {
  await requireTrained(settings, options);
  const prompts = await promptsOf(settings, ["emotion"]);
  const { examples, skipped } = await picturesOf(settings, { split: "train", labels: settings, hooks: options });
  await expectWritable(settings.outputDir);
  using model = await modelOf(gpu, settings, options);
  await using store = storeOf(model, settings, options);
  using stack = new DisposableStack();
  const aspects = options.plain ? undefined : stack.use(await loadAspects(model, settings.aspectPath, { views: settings.views }));
  const categories = settings.categories;
  using prompt = createSoftPrompt(model, { count: settings.promptTokens, layout: settings.layout });
  const { adamW, recompute, seed } = settings;
  const end = await followTraining(settings, { ...options, gpu, facts: { plain: options.plain } }, {
    start: (training) => tunePrompt(model, prompt, { ...training, examples, prompts, categories, aspects, seed, adamW, recompute, store }),
    save: (path) => prompt.save(path),
  });
  return { ...end, skipped };
}

/** Result of {@linkcode runEvaluation}. */
export interface EvaluationOutcome extends Evaluation {
  /** Whether it came to its end; otherwise it was interrupted, wrote none of its files, and can go on from `predictions.partial.jsonl`. */
  finished: boolean;
  /** Pictures in all. */
  total: number;
  /** Files that were written when finished. */
  files: EvaluationReportPaths;
  /** Seconds for all pictures. */
  seconds: number;
  /** Pictures that were left out. */
  skipped: SkippedPicture[];
}

/** Options of {@linkcode runEvaluation}. */
export interface RunEvaluationOptions extends RunHooks {
  /** Plain Qwen2-VL without aspects and prompt: the zero-shot baseline. */
  baseline?: boolean;
  /** Without aspect tokens. */
  plain?: boolean;
  /** Compute the probability of every category, too. */
  scores?: boolean;
  /** What the report shows of each picture: the scores, the aspects in words, and in `pictures.jsonl` thumbnails and attention maps. */
  details?: boolean;
  /** Go on with the predictions of an evaluation that was interrupted. */
  resume?: boolean;
}

/**
 * Evaluation from settings; writes `evaluation.json`, `evaluation.md`, `predictions.jsonl`, `settings.yaml` and `run.json`, with `baseline-` or
 * `plain-` before the names of those of a baseline and of a prompt without aspects. Files of an earlier evaluation that differs are set aside at
 * the end; one that is interrupted leaves them as they are.
 */
export async function runEvaluation(gpu: Gpu, settings: EvalSettings, options: RunEvaluationOptions = {}): Promise<EvaluationOutcome> {
  const { baseline = false, plain = false, details = false, resume, onPrediction, onPicture, onNotice, signal } = options;
  await requireTrained(settings, options);
  const prompts = await promptsOf(settings, ["emotion", ...(details && !baseline && !plain ? settings.views : [])]);
  const { examples, skipped } = await picturesOf(settings, { split: "test", labels: settings, hooks: options });
  await expectWritable(settings.outputDir);
  using model = await modelOf(gpu, settings, options);
  await using store = storeOf(model, settings, options);
  using stack = new DisposableStack();
  const aspects = baseline || plain ? undefined : stack.use(await loadAspects(model, settings.aspectPath, { views: settings.views }));
  const prompt = baseline ? undefined : stack.use(await loadSoftPrompt(model, settings.softPromptPath, { layout: settings.layout }));
  const difference = prompt && compareTuning(prompt, aspects?.views ?? []);
  if (difference) onNotice?.(difference);
  const categories = settings.categories;
  const { outputDir, seed, maxNewTokens, batch } = settings;
  const name = baseline ? "baseline-evaluation" : plain ? "plain-evaluation" : "evaluation";
  stack.use(await lockFolder(outputDir, name));
  const begin = performance.now();
  const progressPath = join(outputDir, `${filePrefix(name)}predictions.partial.jsonl`);
  const asked = { prompts, categories, seed, maxNewTokens, batch, aspects, prompt, baseline, store, scores: options.scores || details };
  const evaluation = await evaluate(model, { ...asked, examples, progressPath, resume, onPrediction, onNotice, signal });
  const seconds = (performance.now() - begin) / 1000;
  const outcome = { seconds, files: evaluationPaths(outputDir, { name }), total: examples.length, skipped };
  if (evaluation.predictions.length < examples.length) return { ...evaluation, ...outcome, finished: false };
  let pictures: string | undefined;
  if (details) {
    onNotice?.("Aspects in words and attention maps");
    pictures = join(outputDir, `.${filePrefix(name)}pictures.partial.jsonl`);
    const shown = { examples, prompts, aspects, store, path: pictures, onPicture, signal };
    const described = await recordPictures(model, evaluation.predictions, shown);
    if (!described) return { ...evaluation, ...outcome, finished: false };
    evaluation.predictions = described;
  }
  const facts = {
    model: settings.modelName,
    weights: weightTypes(model),
    precision: gpu.precision,
    data: settings.dataPath,
    "data set": settings.dataname,
    method: baseline ? "base model, zero-shot" : plain ? "soft prompt without aspect tokens" : "MASP",
    aspects: aspects && settings.aspectPath,
    "soft prompt": prompt && settings.softPromptPath,
    layout: prompt?.layout,
    "tuned with": prompt?.tunedWith && (prompt.tunedWith.join(", ") || "no aspects"),
    seed,
    adapter: gpu.name,
    seconds: Number(seconds.toFixed(1)),
  };
  const report = { facts, ...evaluation, skipped: skipped.map(({ reason }) => reason) };
  await writeEvaluation(settings, report, { gpu, name, pictures, onNotice });
  await Deno.remove(progressPath);
  return { ...evaluation, ...outcome, finished: true };
}

/** Encodes every picture of a data set into the feature cache. @returns how many were encoded, and how many were there already */
export async function runEncode(
  gpu: Gpu,
  settings: CommonSettings,
  options: RunHooks & { split: Split },
): Promise<{ encoded: number; fromDisk: number; skipped: SkippedPicture[] }> {
  const { examples, skipped } = await picturesOf(settings, { split: options.split, hooks: options });
  if (settings.featureCache) await requireWritable(settings.featureCache); // makes it, so only when there is something for it
  using model = await modelOf(gpu, settings, options);
  await using store = storeOf(model, settings);
  const { batch = DEFAULT_BATCH } = settings;
  const images = examples.map(({ image }) => image);
  for (let i = 0; i < images.length && !options.signal?.aborted && !store.failure; i += batch) {
    store.prefetch(...images.slice(i, i + 2 * batch));
    const features = await store.getAll(images.slice(i, i + batch));
    if (i === 0) { // the first pictures stand for all
      const bytes = images.length / features.length * features.reduce((sum, { tensor }) => sum + tensor.bytes, 0);
      const free = settings.featureCache ? await freeDisk(settings.featureCache) : undefined;
      const room = free === undefined ? "" : `, which has ${bytesText(free)} left`;
      options.onNotice?.(`The features of all ${images.length} pictures take about ${bytesText(bytes)} on the disk${room}.`);
    }
    options.onPicture?.(Math.min(i + batch, images.length), images.length);
  }
  await store.flush(); // throws when features could not be written
  return { ...store.counters, skipped };
}

/** The questions, looked at before anything large is loaded. */
async function promptsOf(settings: CommonSettings, asked: readonly string[]): Promise<Prompts> {
  const prompts = await loadPrompts(settings.promptsPath);
  for (const name of asked) questionsOf(prompts, name);
  return prompts;
}

async function picturesOf(
  settings: CommonSettings,
  options: { split: Split; labels?: Pick<LaterSettings, "dataname" | "categories">; hooks: RunHooks },
): Promise<{ examples: Example[]; skipped: SkippedPicture[] }> {
  const { split, labels, hooks } = options;
  const { onNotice, signal } = hooks;
  const examples = await loadExamples(settings.dataPath, {
    dataname: labels?.dataname,
    categories: labels?.categories,
    split,
    limit: settings.maxSamples,
    onNotice,
    signal,
  });
  const { usable, skipped } = await usablePictures(examples, {
    skip: settings.skipBadImages,
    onPicture: hooks.onCheck,
    signal: hooks.signal,
  });
  hooks.onNotice?.(`${settings.dataPath}: ${usable.length} pictures${skipped.length ? `, ${skipped.length} left out` : ""}`);
  return { examples: usable, skipped };
}

async function modelOf(gpu: Gpu, settings: CommonSettings, hooks: RunHooks): Promise<Qwen2Vl> {
  const model = await loadQwen2Vl(gpu, await findModelFolder(settings.modelName), { weights: settings.weights, onProgress: hooks.onLoad });
  if (model.unusedTensors.length) hooks.onNotice?.(`${settings.modelName}: tensors that are not used: ${model.unusedTensors.join(", ")}`);
  return model;
}

function storeOf(model: Qwen2Vl, settings: CommonSettings, hooks: RunHooks = {}): FeatureStore {
  return new FeatureStore(model, { cacheDir: settings.featureCache, onWarning: hooks.onNotice });
}
