import type { Example } from "./example.ts";
import { type Prompts, questionsOf } from "./prompts.ts";
import { seededRandom } from "./random.ts";

/** One sample of stage 2 or of an evaluation: the emotion question about one picture. */
export interface EmotionSample {
  /** Path of the picture. */
  image: string;
  /** The question, categories filled in. */
  question: string;
  /** The emotion. */
  label: string;
}

/** Options of {@linkcode emotionSamples}. */
export interface EmotionSamplesOptions {
  /** Questions; the templates under `emotion` are used. */
  prompts: Prompts;
  /** Emotion categories, in any order. */
  categories: readonly string[];
  /** Seed of the order of the categories and of the choice of templates. */
  seed: number;
  /** `train`: a template drawn at random for every picture. `test`: always the first. */
  mode: "train" | "test";
}

/**
 * The emotion question for every picture, in the order given. The categories are shuffled once per template, so every picture that draws a template
 * gets the same text; with one seed, training and evaluation word a template alike.
 *
 * @throws {MaspError} When the prompts have no templates under `emotion`.
 */
export function emotionSamples(examples: readonly Example[], options: EmotionSamplesOptions): EmotionSample[] {
  const questions = emotionQuestions(options);
  const random = seededRandom(options.seed, "emotion questions");
  const draw = options.mode === "train" ? () => questions[random.int(questions.length)] : () => questions[0];
  return examples.map(({ image, label }) => ({ image, question: draw(), label }));
}

/**
 * The emotion templates with the categories filled in, shuffled once per template.
 *
 * @throws {MaspError} When the prompts have no templates under `emotion`.
 */
export function emotionQuestions(options: Omit<EmotionSamplesOptions, "mode">): string[] {
  const random = seededRandom(options.seed, "emotion categories");
  return questionsOf(options.prompts, "emotion").map((template) => {
    const list = pythonList(random.shuffle(options.categories));
    return template.replaceAll("{}", () => list);
  });
}

/** `['fear', 'awe']`: texts the way Python prints a list, which is what the published checkpoints were trained with. */
function pythonList(texts: readonly string[]): string {
  const quoted = texts.map((text) => {
    const escaped = text.replaceAll("\\", "\\\\");
    if (!text.includes("'")) return `'${escaped}'`;
    return text.includes('"') ? `'${escaped.replaceAll("'", "\\'")}'` : `"${escaped}"`;
  });
  return `[${quoted.join(", ")}]`;
}
