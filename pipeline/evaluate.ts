/** Stage "evaluate": pictures → answers → accuracy, and one picture in detail. */
import type { AspectModules } from "./aspects/aspect_modules.ts";
import { type Answer, Answerer } from "./answerer.ts";
import { emotionQuestions, type EmotionSample, emotionSamples } from "./data/emotion_samples.ts";
import type { Example } from "./data/examples.ts";
import { type Prompts, questionsOf } from "./data/prompts.ts";
import { FeatureStore } from "./encode.ts";
import { EvaluationProgress } from "./evaluation_progress.ts";
import type { Qwen2Vl } from "./load.ts";
import { AspectAnswerer } from "./aspects/aspect_answerer.ts";
import { PictureInputs } from "./picture_inputs.ts";
import type { ReportedPrediction as Prediction } from "./report/evaluation_report.ts";
import { type EmotionMetrics, emotionMetrics, predictionOf } from "./report/metrics.ts";
import type { SoftPrompt } from "./soft_prompt.ts";
import { aspectsFingerprint, fingerprint, samplesFingerprint, weightTypes } from "./train/fingerprint.ts";

export type { Prediction };

/** Options that evaluation and prediction share. */
export interface EvaluationOptions {
  /** Trained aspect modules; without them there are no aspect tokens. */
  aspects?: AspectModules;
  /** Tuned prompt; without it the base model is asked. */
  prompt?: SoftPrompt;
  /** Plain Qwen2-VL with M-RoPE positions: the zero-shot baseline. Aspects and prompt are then left out. */
  baseline?: boolean;
  /** Questions; the first template under `emotion` is used. */
  prompts: Prompts;
  /** Emotions to choose from. */
  categories: readonly string[];
  /** Seed of the categories' order in the question. */
  seed?: number;
  /** Tokens that are generated at most; 4 when left out. */
  maxNewTokens?: number;
  /** Where features come from; a store in GPU memory when left out. */
  store?: FeatureStore;
}

/** Pictures of a pass in an evaluation and in encoding, where nothing else is said. */
export const DEFAULT_BATCH = 8;

/** Share of answers that have to be a category, and nothing else, for the next ones to be guessed: a wrong guess costs what 30 right ones save. */
const LIKELY = 0.98;

/** Result of {@linkcode evaluate}. */
export interface Evaluation {
  /** Accuracy and more. */
  metrics: EmotionMetrics;
  /** A prediction per picture, in their order. */
  predictions: Prediction[];
}

/** Options of {@linkcode evaluate}. */
export interface EvaluateOptions extends EvaluationOptions {
  /** Pictures with labels. */
  examples: readonly Example[];
  /** Compute the probability of every category, too. */
  scores?: boolean;
  /** Try categories as whole answers where those before were some; true when left out. The answers are the same. */
  guess?: boolean;
  /** Pictures that are computed in one pass, whatever their sizes; the answers are the same. {@linkcode DEFAULT_BATCH} when left out. */
  batch?: number;
  /**
   * File that every prediction is written to at once, so that an evaluation that is interrupted can go on; it stays, also at the end. None is
   * written when left out.
   */
  progressPath?: string;
  /** Goes on behind the predictions that the file of `progressPath` holds. */
  resume?: boolean;
  /** Told every prediction, and how many of the pictures up to it are done and right. */
  onPrediction?: (prediction: Prediction, count: { done: number; total: number; right: number }) => void;
  /** Told from where it goes on, and where the predictions of an interrupted one are that it does not go on with. */
  onNotice?: (text: string) => void;
  /** Ends the evaluation after the pictures in progress. */
  signal?: AbortSignal;
}

/**
 * Asks about every picture and counts the right answers.
 *
 * @throws {MaspError} when a picture cannot be decoded, or the file to go on from is of another evaluation
 */
export async function evaluate(model: Qwen2Vl, options: EvaluateOptions): Promise<Evaluation> {
  const { examples, prompts, categories, seed = 0, batch = DEFAULT_BATCH, guess = true, onPrediction, signal } = options;
  await using session = openSession(model, { ...options, batch: Math.min(batch, Math.max(1, examples.length)) });
  const questions = emotionSamples(examples, { prompts, categories, seed, mode: "test" });
  using progress = await openProgress(model, { ...options, batch }, questions);
  const predictions = [...progress?.earlier ?? []];
  let right = predictions.filter(({ correct }) => correct).length;
  const take = ({ text }: Answer, scores?: Record<string, number>) => {
    const { image, id } = examples[predictions.length];
    const { label } = questions[predictions.length];
    const prediction = predictionOf(text);
    const correct = prediction === label;
    right += correct ? 1 : 0;
    predictions.push({ image, id, label, text, prediction, correct, ...(scores && { scores }) });
    progress?.add(predictions.at(-1)!);
    onPrediction?.(predictions.at(-1)!, { done: predictions.length, total: examples.length, right });
  };
  const { answerer } = session;
  type Read = () => Promise<void>;
  const begin = async (asked: readonly EmotionSample[], sure: number): Promise<Read> => {
    if (options.scores) {
      const { results } = await answerer.beginScores(asked, { answers: categories });
      return async () => (await results).forEach(({ answer, scores }) => take(answer, shares(scores, categories)));
    }
    const guesses = guess && areCategories(predictions.slice(0, sure), categories) ? categories : [];
    const { answers } = await answerer.begin(asked, { guesses });
    return async () => (await answers).forEach((answer) => take(answer));
  };
  let before: Read | undefined; // read while the next answers are computed
  for (let i = predictions.length; i < questions.length && !signal?.aborted; i += batch) {
    answerer.prefetch(...questions.slice(i, i + 2 * batch).map(({ image }) => image));
    const reading = before;
    before = undefined;
    try {
      // What the pass before this one says may be here already or not: an evaluation that goes on shall decide as the one that it goes on with.
      before = await begin(questions.slice(i, i + batch), i - batch);
    } finally {
      await reading?.(); // also when these pictures fail: what was computed is kept
    }
  }
  await before?.();
  return { metrics: emotionMetrics(predictions, { categories }), predictions };
}

/** Whether there are answers, and nearly all of them are the name of a category. */
function areCategories(predictions: readonly Prediction[], categories: readonly string[]): boolean {
  return predictions.length > 0 && predictions.filter(({ text }) => categories.includes(text)).length >= LIKELY * predictions.length;
}

/** The file of an evaluation's predictions, if there shall be one. */
async function openProgress(
  model: Qwen2Vl,
  options: EvaluateOptions & { batch: number },
  questions: readonly EmotionSample[],
): Promise<EvaluationProgress | undefined> {
  const { progressPath, resume, onNotice, batch, categories, maxNewTokens, baseline = false, scores = false } = options;
  if (progressPath === undefined) return undefined;
  const [aspects, prompt] = baseline ? [] : [options.aspects, options.prompt];
  const identity = {
    model: model.modelId,
    weights: weightTypes(model),
    precision: model.gpu.precision,
    baseline,
    "aspect modules": aspects && await aspectsFingerprint(model.gpu, aspects),
    "soft prompt": prompt && fingerprint(await model.gpu.read(prompt.rows)),
    layout: prompt?.layout,
    categories,
    "pictures, questions and answers": samplesFingerprint(questions),
    scores,
    maxNewTokens,
    batch,
  };
  const progress = await EvaluationProgress.open(progressPath, { identity, resume, batch, onNotice });
  const { length } = progress.earlier;
  if (length) onNotice?.(`Going on behind ${length} of ${questions.length} pictures.`);
  else if (resume) onNotice?.(`There are no predictions to go on from in ${progressPath}; beginning with the first picture.`);
  return progress;
}

/** What {@linkcode predict} says of a picture. */
export interface PictureReading {
  /** Generated text. */
  text: string;
  /** The category with the highest probability. */
  emotion: string;
  /** Probability of each category among the categories, highest first. */
  scores: Record<string, number>;
  /** What each view's tokens say, in words. */
  aspects: Record<string, string>;
}

/**
 * Reads one picture: emotion, the probability of every category, and the aspects in words.
 *
 * @throws {MaspError} when the picture cannot be decoded
 */
export async function predict(model: Qwen2Vl, image: string, options: EvaluationOptions): Promise<PictureReading> {
  const { prompts, categories, seed = 0, aspects: modules } = options;
  await using session = openSession(model, options);
  const [question] = emotionQuestions({ prompts, categories, seed });
  const { results } = await session.answerer.beginScores([{ image, question }], { answers: categories });
  const [{ answer, scores }] = await results;
  const sorted = Object.fromEntries(Object.entries(shares(scores, categories)).sort(([, a], [, b]) => b - a));
  const aspects: Record<string, string> = {};
  if (modules && !options.baseline) {
    using reader = new AspectAnswerer(model, { aspects: modules, store: session.store });
    const questions = Object.fromEntries(modules.views.map((view) => [view, questionsOf(prompts, view)[0]]));
    Object.assign(aspects, (await reader.answer([image], questions))[0]);
  }
  return { text: answer.text, emotion: Object.keys(sorted)[0], scores: sorted, aspects };
}

function openSession(
  model: Qwen2Vl,
  options: EvaluationOptions & { batch?: number },
): AsyncDisposable & { answerer: Answerer; store: FeatureStore } {
  const { baseline, maxNewTokens, batch } = options;
  const stack = new AsyncDisposableStack();
  const store = options.store ?? stack.use(new FeatureStore(model));
  const inputs = stack.use(new PictureInputs(model, { store, aspects: baseline ? undefined : options.aspects, batch }));
  const prompt = baseline ? undefined : options.prompt;
  const answerer = stack.use(new Answerer(model, { inputs, prompt, maxNewTokens, mode: baseline ? "qwen2-vl" : "masp" }));
  return { answerer, store, [Symbol.asyncDispose]: () => stack.disposeAsync() };
}

/** Probabilities among the categories, from log-probabilities. */
function shares(scores: readonly number[], categories: readonly string[]): Record<string, number> {
  const largest = Math.max(...scores);
  const total = scores.reduce((sum, score) => sum + Math.exp(score - largest), 0);
  return Object.fromEntries(categories.map((category, i) => [category, Math.exp(scores[i] - largest) / total]));
}
