/** Plain f64 loops for the softmax of rows (rows, columns). */

/** p = softmax(scale · x) along the rows. */
export function softmaxReference(x: ArrayLike<number>, shape: { rows: number; columns: number; scale: number }): Float64Array {
  const { rows, columns, scale } = shape;
  const p = new Float64Array(rows * columns);
  for (let row = 0; row < rows; row++) {
    let largest = -Infinity;
    for (let i = row * columns; i < (row + 1) * columns; i++) largest = Math.max(largest, scale * x[i]);
    let sum = 0;
    for (let i = row * columns; i < (row + 1) * columns; i++) sum += p[i] = Math.exp(scale * x[i] - largest);
    for (let i = row * columns; i < (row + 1) * columns; i++) p[i] /= sum;
  }
  return p;
}

/** dx = scale · p · (dp − Σ p · dp). */
export function softmaxBackwardReference(
  p: ArrayLike<number>,
  dp: ArrayLike<number>,
  shape: { rows: number; columns: number; scale: number },
): Float64Array {
  const { rows, columns, scale } = shape;
  const dx = new Float64Array(rows * columns);
  for (let row = 0; row < rows; row++) {
    let sum = 0;
    for (let i = row * columns; i < (row + 1) * columns; i++) sum += p[i] * dp[i];
    for (let i = row * columns; i < (row + 1) * columns; i++) dx[i] = scale * p[i] * (dp[i] - sum);
  }
  return dx;
}
