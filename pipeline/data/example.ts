/** One labelled picture of a data set. */
export interface Example {
  /** Path of the picture. */
  image: string;
  /** File name without extension (Emotion6: with its folder). */
  id: string;
  /** Emotion, lower case. */
  label: string;
  /** Path of the annotation file, where there is one. */
  annotation?: string;
}

/** A part of a data set. */
export type Split = "train" | "test" | "val";
