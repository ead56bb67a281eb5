import { basename, join, resolve } from "@std/path";
import { MaspError } from "../errors.ts";
import { abstractExamples } from "./abstract.ts";
import { readAnnotation } from "./annotation.ts";
import { artPhotoExamples } from "./art_photo.ts";
import { categoriesOf, DATASETS, knownCategories } from "./categories.ts";
import { emotion6Examples } from "./emotion6.ts";
import type { Example, Split } from "./example.ts";
import { listFolder } from "./folders.ts";
import { labelFolderExamples } from "./label_folders.ts";
import { mapParallel } from "./map_parallel.ts";
import { seededSplit } from "./seeded_split.ts";
import { splitFileExamples } from "./split_file.ts";

export type { Example, Split } from "./example.ts";

/** Options of {@linkcode loadExamples}. */
export interface LoadExamplesOptions {
  /** Which part of the data set. */
  split: Split;
  /** Name of the data set (see `categoriesOf`): labels outside its categories are an error. Left out: any label is taken. */
  dataname?: string;
  /** The labels that there may be, instead of those of `dataname`. */
  categories?: readonly string[];
  /** At most this many pictures, evenly spread over the part so that every class stays present. Default: all. */
  limit?: number;
  /** Told how many pictures are for what, where a data set comes without a split. */
  onNotice?: (text: string) => void;
  /** Ends the reading. */
  signal?: AbortSignal;
}

/** Names of folders that are a split themselves. */
const SPLITS: ReadonlySet<string> = new Set(["train", "val", "test"]);

/** How many faults a message names. */
const NAMED = 5;

/**
 * Finds the labelled pictures of a data set. What kind of data set it is follows from the files, tried in this order:
 *
 * 1. `root/SPLIT/LABEL/picture`, with EmoSet's `root/annotation/LABEL/ID.json` where present;
 * 2. `root/SPLIT.json`: EmoSet as published;
 * 3. `root/ground_truth.txt`: Emotion6;
 * 4. `root/ABSTRACT_groundTruth.csv`: Abstract;
 * 5. `root/LABEL/picture`;
 * 6. pictures in `root` named `LABEL_….jpg`: ArtPhoto.
 *
 * 3 to 6 have no split of their own: 80 % of every class are `train`, the rest `test`, by a fixed seed, so that training and evaluation never share a
 * picture; a notice says so. A root of form 5 that is itself called `train`, `val` or `test` is the folder of a split: all of it is taken, whatever
 * the split. To divide otherwise, make the folders of form 1 (links do). The label is the folder's name (or what the
 * table says) in lower case; where an annotation names an `emotion`, that one.
 *
 * @param root Folder of the data set.
 * @param options See {@linkcode LoadExamplesOptions}.
 * @returns Pictures in a fixed order: the file's for published EmoSet, otherwise sorted by folder and name.
 * @throws {MaspError} When the folder is missing or empty, has none of these layouts, too few pictures to be divided, a picture is missing, an
 * annotation is bad, `dataname` is unknown, or a label is outside the categories.
 * @throws The signal's reason when it ends the reading.
 */
export async function loadExamples(root: string, options: LoadExamplesOptions): Promise<Example[]> {
  const { split, limit, signal } = options;
  if (limit !== undefined && !(Number.isInteger(limit) && limit >= 1)) {
    throw new MaspError(`The limit of pictures is ${limit}, expected a whole number of at least 1; correct it or leave it out`);
  }
  const { examples: found, categories } = await findExamples(root, options);
  if (found.length === 0) throw new MaspError(`Data set "${root}" has no ${split} pictures; expected ${expectedIn(root, split)}`);
  const chosen = limit === undefined || limit >= found.length
    ? found
    : Array.from({ length: limit }, (_, i) => found[Math.floor(i * found.length / limit)]);
  await checkPictures(root, chosen, signal);
  const examples = await mapParallel(chosen, annotatedLabel, { signal });
  if (categories) checkLabels(root, { examples, ...categories });
  return examples;
}

/** A data set's name, for messages, and its categories. */
interface Categories {
  dataname: string;
  names: readonly string[];
}

async function findExamples(root: string, options: LoadExamplesOptions): Promise<{ examples: Example[]; categories?: Categories }> {
  const { split, dataname } = options;
  const content = await listFolder(root);
  if (!content) throw new MaspError(`Cannot find data set "${root}": there is no such folder; expected ${expectedIn(root, split)}`);
  const known = (name?: string): Categories | undefined => {
    const { categories: own } = options;
    if (!own) return name === undefined ? undefined : { dataname: name, names: categoriesOf(name) };
    const isDataset = name !== undefined && knownCategories(name)?.join() === own.join();
    return { dataname: isDataset ? name : "the settings (categories)", names: own };
  };
  const categories = known(dataname);
  const ready = await (content.folders.includes(split) ? labelFolderExamples(root, split) : splitFileExamples(root, split));
  if (ready) return { examples: ready, categories };
  const table = await emotion6Examples(root) ?? await abstractExamples(root);
  if (table) return { examples: divide(table, root, options), categories };
  const folders = await labelFolderExamples(root, split);
  if (folders) return { examples: SPLITS.has(basename(resolve(root))) ? folders : divide(folders, root, options), categories };
  const flat = await artPhotoExamples(root);
  if (flat) return { examples: divide(flat, root, options), categories: known(dataname ?? "ArtPhoto") };
  const found = [...content.folders.map((name) => `${name}/`), ...content.files];
  const holds = found.length === 0 ? "the folder is empty" : `it holds ${some(found)} and no ${split} pictures`;
  throw new MaspError(`Cannot load data set "${root}": ${holds}; expected ${expectedIn(root, split)}`);
}

function divide(examples: Example[], root: string, { split, onNotice }: LoadExamplesOptions): Example[] {
  if (split === "val") {
    throw new MaspError(
      `Data set "${root}" comes without a split and is divided into train and test only; found val, use one of these two`,
    );
  }
  const [train, test] = [seededSplit(examples, "train"), seededSplit(examples, "test")];
  const otherwise = `${join(root, "train")}/LABEL/PICTURE and ${join(root, "test")}/LABEL/PICTURE`;
  const part = split === "train" ? train : test;
  if (part.length === 0 && examples.length > 0) {
    throw new MaspError(
      `Data set "${root}" comes without a split, and its ${examples.length} pictures are too few to be divided into 80 % of every label for training ` +
        `and the rest for testing: there are no ${split} pictures; divide them yourself, into ${otherwise}`,
    );
  }
  onNotice?.(
    `${root} comes without a split: ${train.length} pictures, 80 % of every label, are for training, the other ${test.length} for testing, always ` +
      `the same. To divide them otherwise, put or link them into ${otherwise}.`,
  );
  return part;
}

async function checkPictures(root: string, examples: readonly Example[], signal?: AbortSignal): Promise<void> {
  const missing = await mapParallel(examples, async ({ image }) => {
    try {
      return (await Deno.stat(image)).isFile ? [] : [image];
    } catch (error) {
      if (error instanceof Deno.errors.NotFound || error instanceof Deno.errors.NotADirectory) return [image];
      throw error;
    }
  }, { signal });
  const names = missing.flat();
  if (names.length === 0) return;
  throw new MaspError(
    `Data set "${root}": ${names.length} of ${examples.length} pictures are missing: ${
      some(names)
    }; restore them or take them out of the list`,
  );
}

/** EmoSet's own emotion goes before the folder's name. */
async function annotatedLabel(example: Example): Promise<Example> {
  if (example.annotation === undefined) return example;
  const { emotion } = await readAnnotation(example.annotation);
  return emotion === undefined ? example : { ...example, label: emotion };
}

function checkLabels(root: string, { examples, dataname, names }: Categories & { examples: readonly Example[] }): void {
  const outside = new Map(examples.filter(({ label }) => !names.includes(label)).map(({ label, image }) => [label, image]));
  if (outside.size === 0) return;
  const found = some([...outside].map(([label, image]) => `"${label}" (${image})`));
  throw new MaspError(
    `Data set "${root}": labels outside the categories of ${dataname}: ${found}; expected ${names.join(", ")}; ` +
      `rename the folders, choose another dataname (${DATASETS.join(", ")}), or list your own labels in the setting categories`,
  );
}

function expectedIn(root: string, split: Split): string {
  return `${join(root, split)}/LABEL/PICTURE, ${join(root, `${split}.json`)} (EmoSet as published), ground_truth.txt (Emotion6), ` +
    `ABSTRACT_groundTruth.csv (Abstract), LABEL/PICTURE or LABEL_NUMBER.jpg (ArtPhoto) in it`;
}

function some(names: readonly string[]): string {
  return names.slice(0, NAMED).join(", ") + (names.length > NAMED ? ` and ${names.length - NAMED} more` : "");
}
