import type { EmotionMetrics } from "./metrics.ts";

/** The answer for one picture. */
export interface ReportedPrediction {
  /** Path of the picture. */
  image: string;
  /** Its id in the data set. */
  id: string;
  /** The right category. */
  label: string;
  /** Generated text. */
  text: string;
  /** The answer that was counted. */
  prediction: string;
  /** Whether it equals the label. */
  correct: boolean;
  /** Probability of each category, when it was asked for. */
  scores?: Record<string, number>;
  /** What each view's tokens say in words, when it was asked for. */
  aspects?: Record<string, string>;
  /** What the picture's annotation says of the views, where there is one. */
  aspectLabels?: Record<string, string>;
}

/** Everything about one evaluation. */
export interface EvaluationReport {
  /** What it was: model, data set, files, seconds, and whatever else a reader should know; shown as a table in this order. */
  facts: Readonly<Record<string, string | number | boolean | undefined>>;
  /** The measurements. */
  metrics: EmotionMetrics;
  /** One per picture. */
  predictions: readonly ReportedPrediction[];
  /** Measurements of another model on the same pictures, to compare with: the model before training. */
  baseline?: EmotionMetrics;
  /** Pictures that could not be decoded and were left out. */
  skipped?: readonly string[];
}
