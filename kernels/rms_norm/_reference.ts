/** RMSNorm in f64: the specification of the kernels. */

/** y (T, D) = x / sqrt(mean(x²) + eps) · weight, row by row. */
export function rmsNormReference(x: ArrayLike<number>, weight: ArrayLike<number>, options: { eps: number }): Float64Array {
  const columns = weight.length;
  const y = new Float64Array(x.length);
  for (let begin = 0; begin < x.length; begin += columns) {
    let squares = 0;
    for (let i = 0; i < columns; i++) squares += x[begin + i] ** 2;
    const scale = 1 / Math.sqrt(squares / columns + options.eps);
    for (let i = 0; i < columns; i++) y[begin + i] = x[begin + i] * scale * weight[i];
  }
  return y;
}

/** dx (T, D), from the derivative of every output of a row by every input of it. */
export function rmsNormBackwardReference(
  x: ArrayLike<number>,
  weight: ArrayLike<number>,
  options: { dy: ArrayLike<number>; eps: number },
): Float64Array {
  const { dy, eps } = options;
  const columns = weight.length;
  const dx = new Float64Array(x.length);
  for (let begin = 0; begin < x.length; begin += columns) {
    let squares = 0;
    let products = 0;
    for (let i = 0; i < columns; i++) {
      squares += x[begin + i] ** 2;
      products += dy[begin + i] * weight[i] * x[begin + i];
    }
    const scale = 1 / Math.sqrt(squares / columns + eps);
    for (let i = 0; i < columns; i++) {
      dx[begin + i] = scale * dy[begin + i] * weight[i] - x[begin + i] * scale ** 3 * products / columns;
    }
  }
  return dx;
}
