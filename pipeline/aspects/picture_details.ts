/** What the report shows of each picture beside the emotion: aspects in words, what an annotation says of them, and where each view looks. */
import { aspectLabel, readAnnotation } from "../data/annotation.ts";
import type { Example } from "../data/examples.ts";
import { type Prompts, questionsOf } from "../data/prompts.ts";
import type { FeatureStore } from "../encode.ts";
import type { Qwen2Vl } from "../load.ts";
import { type PackedMap, packMap } from "../report/attention_file.ts";
import { AspectAnswerer } from "./aspect_answerer.ts";
import type { AspectModules } from "./aspect_modules.ts";
import { AttentionMapper } from "./attention_maps.ts";

/** See the module's text. */
export interface PictureDetails {
  /** Path of the picture. */
  image: string;
  /** What each view's tokens say, in words. */
  aspects: Record<string, string>;
  /** What the picture's annotation says, for the views that it knows; absent without an annotation. */
  aspectLabels?: Record<string, string>;
  /** Where each view looks. */
  attention: Record<string, PackedMap>;
}

/** Pictures that are asked about in one pass: with six views, as many rows as the evaluation of some pictures more. */
const BATCH = 4;

/** Options of {@linkcode pictureDetails}. */
export interface PictureDetailsOptions {
  /** Trained modules. */
  aspects: AspectModules;
  /** Features of the pictures. */
  store: FeatureStore;
  /** Questions; the first of each view is asked. */
  prompts: Prompts;
  /** The pictures. */
  examples: readonly Example[];
  /** Ends after the pictures in progress. */
  signal?: AbortSignal;
}

/**
 * Details of pictures, in their order.
 *
 * @throws {MaspError} when a picture cannot be decoded, an annotation is bad, or a view has no question
 */
export async function* pictureDetails(model: Qwen2Vl, options: PictureDetailsOptions): AsyncGenerator<PictureDetails> {
  const { aspects, store, prompts, examples, signal } = options;
  const questions = Object.fromEntries(aspects.views.map((view) => [view, questionsOf(prompts, view)[0]]));
  using reader = new AspectAnswerer(model, { aspects, store, batch: BATCH });
  using mapper = new AttentionMapper(model, { aspects, store });
  for (let i = 0; i < examples.length; i += BATCH) {
    if (signal?.aborted) return;
    store.prefetch(...examples.slice(i, i + 2 * BATCH).map(({ image }) => image));
    const batch = examples.slice(i, i + BATCH);
    const answers = await reader.answer(batch.map(({ image }) => image), questions);
    for (const [b, { image, annotation }] of batch.entries()) {
      const labels = annotation === undefined ? undefined : await labelsOf(annotation, aspects.views);
      const maps = await mapper.maps(image);
      yield {
        image,
        aspects: Object.fromEntries(Object.entries(answers[b]).map(([view, text]) => [view, text.trim()])),
        ...(labels && { aspectLabels: labels }),
        attention: Object.fromEntries(maps.map((map) => [map.view, packMap(map)])),
      };
    }
  }
}

async function labelsOf(path: string, views: readonly string[]): Promise<Record<string, string>> {
  const annotation = await readAnnotation(path);
  return Object.fromEntries(views.flatMap((view) => {
    const label = aspectLabel(annotation, view);
    return label === undefined ? [] : [[view, label]];
  }));
}
