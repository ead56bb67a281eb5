/** What an evaluation measures. */
import { SENTIMENT } from "../data/categories.ts";
import { MaspError } from "../errors.ts";
import { type ClassAverages, classAverages, type ClassMetrics, classMetrics, type Confusion, confusion } from "./confusion.ts";
import { type Proportion, proportion } from "./proportion.ts";

/** An answer and what would have been right. */
export interface EmotionRow {
  /** The answer, from {@linkcode predictionOf}. */
  prediction: string;
  /** The right category. */
  label: string;
}

/** Answers that are no category. */
export interface OtherAnswers extends Omit<Proportion, "correct"> {
  /** How many there are. */
  count: number;
  /** The most frequent ones, at most ten, the most frequent first. */
  answers: { answer: string; count: number }[];
}

/** Categories that are neither positive nor negative, by their nature. */
const NEUTRAL: readonly string[] = ["surprise"];

/**
 * Right side of the feelings: positive or negative. Pictures whose label is neither (surprise) are left out; such an answer to another label is
 * wrong, as is one that is no category.
 */
export interface SentimentMetrics {
  /** All pictures with a positive or negative label. */
  accuracy: Proportion;
  /** Pictures with a positive label. */
  positive: Proportion;
  /** Pictures with a negative label. */
  negative: Proportion;
}

/** Result of {@linkcode emotionMetrics}. */
export interface EmotionMetrics extends ClassAverages {
  /** Number of pictures. */
  total: number;
  /** Accuracy as the reference defines it: the answer equals the label, white space included. */
  accuracy: Proportion;
  /** Like it, white space around the answer left out. Everything below is counted in this way, too. */
  trimmed: Proportion;
  /** Answers that are no category. */
  other: OtherAnswers;
  /** Every category by itself, in their order. */
  classes: ClassMetrics[];
  /** Labels against answers. */
  confusion: Confusion;
  /** Positive against negative; absent where the kind of a category is not known, or all are of one kind. */
  sentiment?: SentimentMetrics;
}

/** Options of {@linkcode emotionMetrics}. */
export interface EmotionMetricsOptions {
  /** The categories of the data set. */
  categories: readonly string[];
}

/** Prediction of a generated text: lower case, up to the first line break. */
export function predictionOf(text: string): string {
  return text.toLowerCase().split("\n")[0];
}

/**
 * Measures answers.
 *
 * @param rows One per picture; without any, every share is 0.
 * @param options The categories.
 * @throws {MaspError} When a label is none of the categories.
 *
 * @example
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { emotionMetrics } from "./metrics.ts";
 *
 * const rows = [{ prediction: "joy", label: "joy" }, { prediction: " fear", label: "fear" }, { prediction: "a dog", label: "fear" }];
 * const { accuracy, trimmed, other } = emotionMetrics(rows, { categories: ["joy", "fear"] });
 * assertEquals([accuracy.correct, trimmed.correct, other.count], [1, 2, 1]);
 * ```
 */
export function emotionMetrics(rows: readonly EmotionRow[], options: EmotionMetricsOptions): EmotionMetrics {
  const { categories } = options;
  const outside = [...new Set(rows.map(({ label }) => label).filter((label) => !categories.includes(label)))];
  if (outside.length > 0) {
    throw new MaspError(
      `Cannot measure the answers: the labels ${outside.map((label) => `"${label}"`).join(", ")} are none of the categories ` +
        `${categories.join(", ")}; choose the data set's own categories (dataname)`,
    );
  }
  const trimmed = rows.map(({ prediction, label }) => ({ prediction: prediction.trim(), label }));
  const matrix = confusion(trimmed, categories);
  const classes = classMetrics(matrix);
  const sentiment = sentimentMetrics(trimmed, categories);
  return {
    total: rows.length,
    accuracy: proportion(rows.filter(({ prediction, label }) => prediction === label).length, rows.length),
    trimmed: proportion(trimmed.filter(({ prediction, label }) => prediction === label).length, rows.length),
    other: otherAnswers(trimmed, categories),
    ...classAverages(classes),
    classes,
    confusion: matrix,
    ...(sentiment && { sentiment }),
  };
}

function otherAnswers(rows: readonly EmotionRow[], categories: readonly string[]): OtherAnswers {
  const counts = new Map<string, number>();
  for (const { prediction } of rows) if (!categories.includes(prediction)) counts.set(prediction, (counts.get(prediction) ?? 0) + 1);
  const answers = [...counts].map(([answer, count]) => ({ answer, count })).sort((a, b) => b.count - a.count);
  const { correct: count, ...rest } = proportion(answers.reduce((sum, { count }) => sum + count, 0), rows.length);
  return { count, ...rest, answers: answers.slice(0, 10) };
}

function sentimentMetrics(rows: readonly EmotionRow[], categories: readonly string[]): SentimentMetrics | undefined {
  const sided = categories.filter((category) => !NEUTRAL.includes(category));
  const kinds = new Map(sided.map((category) => [category, Object.hasOwn(SENTIMENT, category) ? SENTIMENT[category] : undefined]));
  const found = new Set(kinds.values());
  if (found.has(undefined) || found.size < 2) return undefined;
  const share = (kind?: string) => {
    const counted = rows.filter(({ label }) => kind === undefined ? kinds.has(label) : kinds.get(label) === kind);
    return proportion(counted.filter(({ prediction, label }) => kinds.get(prediction) === kinds.get(label)).length, counted.length);
  };
  return { accuracy: share(), positive: share("positive"), negative: share("negative") };
}
