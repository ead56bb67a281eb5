const EIGHT = ["sadness", "amusement", "fear", "disgust", "excitement", "awe", "contentment", "anger"];
const SIX = ["sadness", "fear", "surprise", "anger", "joy", "disgust"];
const ART = ["sad", "amusement", "fear", "disgust", "excitement", "awe", "content", "anger"];
const TWO = ["positive", "negative"];

const BY_NAME: ReadonlyMap<string, readonly string[]> = new Map([
  ["emotion6", SIX],
  ["abstract", ART],
  ["artphoto", ART],
  ["flickr", TWO],
  ["instagram", TWO],
]);

/**
 * The emotion categories of a data set, in the reference's order.
 *
 * @param dataname Name of the data set, in any case: Emotion6, Abstract, ArtPhoto, Flickr or Instagram. Every other name (EmoSet, FI) has the eight
 * emotions of Mikels.
 */
export function categoriesOf(dataname: string): readonly string[] {
  return BY_NAME.get(dataname.trim().toLowerCase()) ?? EIGHT;
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
