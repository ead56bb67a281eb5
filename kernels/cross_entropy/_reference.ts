/** Plain f64 loops for the cross-entropy of rows. Letters: A rows, V columns that count, W columns of the logits. */

/** Sizes of the logits. */
export interface CrossEntropyShape {
  /** A */
  rows: number;
  /** W */
  width: number;
  /** V */
  columns: number;
}

/** nll (A) = -log softmax(logits)[target]. */
export function crossEntropyReference(logits: ArrayLike<number>, targets: ArrayLike<number>, shape: CrossEntropyShape): Float64Array {
  const { rows, width, columns } = shape;
  return Float64Array.from({ length: rows }, (_, row) => {
    const values = Array.from({ length: columns }, (_, column) => logits[row * width + column]);
    const largest = Math.max(...values);
    const sum = values.reduce((total, value) => total + Math.exp(value - largest), 0);
    return largest + Math.log(sum) - values[targets[row]];
  });
}

/** dlogits (A, W) of the sum of weights · nll. */
export function crossEntropyBackwardReference(
  logits: ArrayLike<number>,
  targets: ArrayLike<number>,
  shape: CrossEntropyShape & { weights: ArrayLike<number> },
): Float64Array {
  const { rows, width, columns, weights } = shape;
  const nll = crossEntropyReference(logits, targets, shape);
  const gradient = new Float64Array(rows * width);
  for (let row = 0; row < rows; row++) {
    const log = logits[row * width + targets[row]] + nll[row];
    for (let column = 0; column < columns; column++) {
      const hot = column === targets[row] ? 1 : 0;
      gradient[row * width + column] = weights[row] * (Math.exp(logits[row * width + column] - log) - hot);
    }
  }
  return gradient;
}
