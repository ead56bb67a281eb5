/** What was answered for what. C categories. */
export interface Confusion {
  /** The categories: rows, and the first C columns. */
  categories: readonly string[];
  /** (C, C + 1) pictures by label (row) and answer (column); the last column counts answers that are no category. */
  counts: number[][];
}

/** Quality of the answers for one category. */
export interface ClassMetrics {
  /** Name of the category. */
  category: string;
  /** Pictures that have this label. */
  support: number;
  /** Pictures that were given this answer. */
  predicted: number;
  /** Right answers among those given; 0 when it was never given. */
  precision: number;
  /** Right answers among the pictures with this label; 0 when there are none. */
  recall: number;
  /** Harmonic mean of precision and recall. */
  f1: number;
}

/** Averages over the categories. */
export interface ClassAverages {
  /** Mean F1 of the categories that occur, as a label or as an answer. */
  macroF1: number;
  /** F1 averaged with the number of pictures of each label. */
  weightedF1: number;
  /** Mean recall of the categories that have pictures (balanced accuracy). */
  macroRecall: number;
}

/**
 * Counts pairs of label and answer.
 *
 * @param rows Labels and answers, compared as they stand; every label has to be a category.
 * @param categories The C categories, in the order of the rows and columns.
 * @throws {RangeError} When a label is no category.
 */
export function confusion(rows: readonly { prediction: string; label: string }[], categories: readonly string[]): Confusion {
  const index = new Map(categories.map((category, i) => [category, i]));
  const counts = categories.map(() => new Array<number>(categories.length + 1).fill(0));
  for (const { prediction, label } of rows) {
    const row = index.get(label);
    if (row === undefined) throw new RangeError(`The label "${label}" is none of the categories ${categories.join(", ")}`);
    counts[row][index.get(prediction) ?? categories.length]++;
  }
  return { categories, counts };
}

/** Precision, recall and F1 of every category, in their order. */
export function classMetrics({ categories, counts }: Confusion): ClassMetrics[] {
  return categories.map((category, i) => {
    const hits = counts[i][i];
    const support = sum(counts[i]);
    const predicted = sum(counts.map((row) => row[i]));
    const precision = ratio(hits, predicted);
    const recall = ratio(hits, support);
    return { category, support, predicted, precision, recall, f1: ratio(2 * hits, support + predicted) };
  });
}

/**
 * Averages over the categories. One that is neither a label nor an answer anywhere is left out, as scikit-learn does when it takes the classes from
 * the data; answers that are no category lower the recall of their label alone.
 */
export function classAverages(classes: readonly ClassMetrics[]): ClassAverages {
  const occurring = classes.filter(({ support, predicted }) => support + predicted > 0);
  const labelled = classes.filter(({ support }) => support > 0);
  return {
    macroF1: ratio(sum(occurring.map(({ f1 }) => f1)), occurring.length),
    weightedF1: ratio(sum(labelled.map(({ f1, support }) => f1 * support)), sum(labelled.map(({ support }) => support))),
    macroRecall: ratio(sum(labelled.map(({ recall }) => recall)), labelled.length),
  };
}

function sum(numbers: readonly number[]): number {
  return numbers.reduce((total, number) => total + number, 0);
}

function ratio(part: number, whole: number): number {
  return whole === 0 ? 0 : part / whole;
}
