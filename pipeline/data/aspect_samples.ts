import { MaspError } from "../errors.ts";
import { type Annotation, aspectLabel, readAnnotation } from "./annotation.ts";
import type { Example } from "./example.ts";
import { mapParallel } from "./map_parallel.ts";
import { type Prompts, questionsOf } from "./prompts.ts";
import { seededRandom } from "./random.ts";

/** One sample of stage 1: a question about one view of one picture. */
export interface AspectSample {
  /** Path of the picture. */
  image: string;
  /** The view that is asked for. */
  view: string;
  /** The question. */
  question: string;
  /** The answer. */
  label: string;
}

/** Options of {@linkcode loadAspectSamples}. */
export interface LoadAspectSamplesOptions {
  /** Names of the views, in order. */
  views: readonly string[];
  /** Questions for every view. */
  prompts: Prompts;
  /** Seed of the choice of questions. */
  seed: number;
}

/**
 * The samples of stage 1: for every picture in the order given, for every view in order that its annotation knows, one question drawn at random
 * (one seeded stream over all samples). Pictures without an annotation give no sample.
 *
 * @throws {MaspError} When an annotation is bad, a view has no questions, or there is no sample at all.
 */
export async function loadAspectSamples(examples: readonly Example[], options: LoadAspectSamplesOptions): Promise<AspectSample[]> {
  const { views, prompts, seed } = options;
  const questions = new Map(views.map((view) => [view, questionsOf(prompts, view)]));
  const annotations = await mapParallel(
    examples,
    ({ annotation }): Promise<Annotation | undefined> => annotation === undefined ? Promise.resolve(undefined) : readAnnotation(annotation),
  );
  const random = seededRandom(seed, "aspect questions");
  const samples: AspectSample[] = [];
  examples.forEach(({ image }, index) => {
    const annotation = annotations[index];
    if (!annotation) return;
    for (const [view, choice] of questions) {
      const label = aspectLabel(annotation, view);
      if (label !== undefined) samples.push({ image, view, question: choice[random.int(choice.length)], label });
    }
  });
  if (samples.length === 0) throw noSamples(examples, views);
  return samples;
}

function noSamples(examples: readonly Example[], views: readonly string[]): MaspError {
  const annotated = examples.filter(({ annotation }) => annotation !== undefined).length;
  const found = `${examples.length} pictures, ${annotated} of them with an annotation`;
  return new MaspError(
    `There is nothing to learn aspects from: ${found}, none with a value for ${views.join(", ")}; ` +
      `expected EmoSet's annotation/LABEL/ID.json beside the train folder`,
  );
}
