/** What the language model is asked. Letters: L tokens. */

/** One prompt. */
export interface Prompt {
  /** Token ids (L); any id where another source fills the row. */
  ids: ArrayLike<number>;
  /** Rows of other sources by their names (L), `NO_ROW` where they fill none. */
  rows?: Readonly<Record<string, ArrayLike<number>>>;
  /** Positions (L, 3); 0, 1, 2, … when left out. */
  positions?: ArrayLike<number>;
}
