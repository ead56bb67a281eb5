/** LayerNorm in f64: the specification of the kernels. */

/** y (T, D) = (x − mean) / sqrt(variance + eps) · weight + bias, row by row. */
export function layerNormReference(
  x: ArrayLike<number>,
  weight: ArrayLike<number>,
  options: { bias: ArrayLike<number>; eps: number },
): Float64Array {
  const columns = weight.length;
  const y = new Float64Array(x.length);
  for (let begin = 0; begin < x.length; begin += columns) {
    let mean = 0;
    for (let i = 0; i < columns; i++) mean += x[begin + i] / columns;
    let variance = 0;
    for (let i = 0; i < columns; i++) variance += (x[begin + i] - mean) ** 2 / columns;
    const scale = 1 / Math.sqrt(variance + options.eps);
    for (let i = 0; i < columns; i++) y[begin + i] = (x[begin + i] - mean) * scale * weight[i] + options.bias[i];
  }
  return y;
}
