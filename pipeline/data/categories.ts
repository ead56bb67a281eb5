import { didYouMean } from "../../config/nearest_name.ts";
import { MaspError } from "../errors.ts";

const EIGHT = ["sadness", "amusement", "fear", "disgust", "excitement", "awe", "contentment", "anger"];
const SIX = ["sadness", "fear", "surprise", "anger", "joy", "disgust"];
const ART = ["sad", "amusement", "fear", "disgust", "excitement", "awe", "content", "anger"];
const TWO = ["positive", "negative"];

const BY_NAME: Readonly<Record<string, readonly string[]>> = {
  EmoSet: EIGHT,
  FI: EIGHT,
  Emotion6: SIX,
  Abstract: ART,
  ArtPhoto: ART,
  Flickr: TWO,
  Instagram: TWO,
};

/** The data sets whose categories are known. */
export const DATASETS: readonly string[] = Object.keys(BY_NAME);

/** Other names of them. */
const ALIASES: Readonly<Record<string, string>> = { emoset118k: "EmoSet" };

/**
 * The emotion categories of a data set, in the reference's order.
 *
 * @param dataname Name of the data set: EmoSet or FI (the eight emotions of Mikels), Emotion6, Abstract, ArtPhoto, Flickr or Instagram, in any case,
 * with or without dashes, underscores and blanks.
 * @throws {MaspError} When the name is none of these. The reference takes EmoSet's categories then; data of other categories has the setting
 * `categories` instead.
 */
export function categoriesOf(dataname: string): readonly string[] {
  const known = knownCategories(dataname);
  if (known) return known;
  throw new MaspError(
    `There is no data set "${dataname}" (dataname)${didYouMean(dataname, DATASETS) || "."} Known are ${DATASETS.join(", ")}; ` +
      `for other data, list its labels in the setting categories (--categories cat,dog)`,
  );
}

/** Like {@linkcode categoriesOf}, but nothing for an unknown name. */
export function knownCategories(dataname: string): readonly string[] | undefined {
  const plain = (name: string) => name.toLowerCase().replaceAll(/[^a-z0-9]/g, "");
  const name = plain(dataname);
  const known = DATASETS.find((known) => plain(known) === name) ?? (Object.hasOwn(ALIASES, name) ? ALIASES[name] : undefined);
  return known === undefined ? undefined : BY_NAME[known];
}

/** Which categories are positive and which negative. `surprise` is neither: pictures with that label do not count there. */
export const SENTIMENT: Readonly<Record<string, "positive" | "negative">> = {
  amusement: "positive",
  awe: "positive",
  content: "positive",
  contentment: "positive",
  excitement: "positive",
  joy: "positive",
  positive: "positive",
  anger: "negative",
  disgust: "negative",
  fear: "negative",
  negative: "negative",
  sad: "negative",
  sadness: "negative",
};
