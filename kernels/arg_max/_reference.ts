/** First column of the largest of `columns` values in each row of (rows, width); NaN counts as larger than every number. */
export function argMaxReference(logits: ArrayLike<number>, shape: { rows: number; width: number; columns: number }): number[] {
  const { rows, width, columns } = shape;
  return Array.from({ length: rows }, (_, row) => {
    let best = 0;
    for (let column = 1; column < columns; column++) {
      const value = logits[row * width + column];
      const largest = logits[row * width + best];
      if (value > largest || (Number.isNaN(value) && !Number.isNaN(largest))) best = column;
    }
    return best;
  });
}
