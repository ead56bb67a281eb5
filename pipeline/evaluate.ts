/** Stage "evaluate": pictures → answers → accuracy, and one picture in detail. */
import type { AspectModules } from "./aspects/aspect_modules.ts";
import { type Answer, Answerer } from "./answerer.ts";
import { emotionQuestions, emotionSamples } from "./data/emotion_samples.ts";
import type { Example } from "./data/examples.ts";
import { type Prompts, questionsOf } from "./data/prompts.ts";
import { FeatureStore } from "./encode.ts";
import type { Qwen2Vl } from "./load.ts";
import { AspectAnswerer } from "./aspects/aspect_answerer.ts";
import { PictureInputs } from "./picture_inputs.ts";
import type { ReportedPrediction as Prediction } from "./report/evaluation_report.ts";
import { type EmotionMetrics, emotionMetrics, predictionOf } from "./report/metrics.ts";
import type { SoftPrompt } from "./soft_prompt.ts";

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
  /** Told every prediction. */
  onPrediction?: (prediction: Prediction, count: { done: number; total: number }) => void;
  /** Ends the evaluation after the picture in progress. */
  signal?: AbortSignal;
}

/**
 * Asks about every picture and counts the right answers.
 *
 * @throws {MaspError} when a picture cannot be decoded
 */
export async function evaluate(model: Qwen2Vl, options: EvaluateOptions): Promise<Evaluation> {
  const { examples, prompts, categories, seed = 0, onPrediction, signal } = options;
  await using session = openSession(model, options);
  const questions = emotionSamples(examples, { prompts, categories, seed, mode: "test" });
  const predictions: Prediction[] = [];
  const take = ({ text }: Answer, scores?: Record<string, number>) => {
    const { image, id } = examples[predictions.length];
    const { label } = questions[predictions.length];
    const prediction = predictionOf(text);
    predictions.push({ image, id, label, text, prediction, correct: prediction === label, ...(scores && { scores }) });
    onPrediction?.(predictions.at(-1)!, { done: predictions.length, total: examples.length });
  };
  let before: { answer: Promise<Answer> } | undefined; // read while the next answer is computed
  for (const [i, { image, question }] of questions.entries()) {
    if (signal?.aborted) break;
    session.answerer.prefetch(...questions.slice(i + 1, i + 4).map((next) => next.image));
    if (options.scores) {
      const { answer, scores } = await scored(session.answerer, { image, question, categories });
      take(answer, scores);
      continue;
    }
    const begun = await session.answerer.begin(image, question);
    if (before) take(await before.answer);
    before = begun;
  }
  if (before) take(await before.answer);
  return { metrics: emotionMetrics(predictions, { categories }), predictions };
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
  const { answer, scores } = await scored(session.answerer, { image, question, categories });
  const sorted = Object.fromEntries(Object.entries(scores).sort(([, a], [, b]) => b - a));
  const aspects: Record<string, string> = {};
  if (modules && !options.baseline) {
    using reader = new AspectAnswerer(model, { aspects: modules, store: session.store });
    const questions = Object.fromEntries(modules.views.map((view) => [view, questionsOf(prompts, view)[0]]));
    Object.assign(aspects, await reader.answer(image, questions));
  }
  return { text: answer.text, emotion: Object.keys(sorted)[0], scores: sorted, aspects };
}

function openSession(model: Qwen2Vl, options: EvaluationOptions): AsyncDisposable & { answerer: Answerer; store: FeatureStore } {
  const { baseline, maxNewTokens } = options;
  const stack = new AsyncDisposableStack();
  const store = options.store ?? stack.use(new FeatureStore(model));
  const inputs = stack.use(new PictureInputs(model, { store, aspects: baseline ? undefined : options.aspects }));
  const prompt = baseline ? undefined : options.prompt;
  const answerer = stack.use(new Answerer(model, { inputs, prompt, maxNewTokens, mode: baseline ? "qwen2-vl" : "masp" }));
  return { answerer, store, [Symbol.asyncDispose]: () => stack.disposeAsync() };
}

async function scored(
  answerer: Answerer,
  options: { image: string; question: string; categories: readonly string[] },
): Promise<{ answer: Answer; scores: Record<string, number> }> {
  const { image, question, categories } = options;
  const { scores, answer } = await answerer.score(image, { question, answers: categories });
  const largest = Math.max(...scores);
  const total = scores.reduce((sum, score) => sum + Math.exp(score - largest), 0);
  return { answer, scores: Object.fromEntries(categories.map((category, i) => [category, Math.exp(scores[i] - largest) / total])) };
}
