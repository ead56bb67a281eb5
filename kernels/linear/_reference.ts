/** Plain f64 loops for the products of a linear layer. Letters: T rows, K inputs, N outputs. */

/** y (T, N) = x (T, K) · Wᵀ (N, K) + bias (N). */
export function linearReference(
  x: ArrayLike<number>,
  weight: ArrayLike<number>,
  shape: { rows: number; inputs: number; outputs: number; bias?: ArrayLike<number> },
): Float64Array {
  const { rows, inputs, outputs, bias } = shape;
  const y = new Float64Array(rows * outputs);
  for (let t = 0; t < rows; t++) {
    for (let n = 0; n < outputs; n++) {
      let sum = bias ? bias[n] : 0;
      for (let k = 0; k < inputs; k++) sum += x[t * inputs + k] * weight[n * inputs + k];
      y[t * outputs + n] = sum;
    }
  }
  return y;
}

/** Gradients of {@linkcode linearReference}: dx (T, K), dweight (N, K), dbias (N) from dy (T, N). */
export function linearBackwardReference(
  dy: ArrayLike<number>,
  inputsOf: { x: ArrayLike<number>; weight: ArrayLike<number>; rows: number; inputs: number; outputs: number },
): { dx: Float64Array; dweight: Float64Array; dbias: Float64Array } {
  const { x, weight, rows, inputs, outputs } = inputsOf;
  const dx = new Float64Array(rows * inputs);
  const dweight = new Float64Array(outputs * inputs);
  const dbias = new Float64Array(outputs);
  for (let t = 0; t < rows; t++) {
    for (let n = 0; n < outputs; n++) {
      const d = dy[t * outputs + n];
      dbias[n] += d;
      for (let k = 0; k < inputs; k++) {
        dx[t * inputs + k] += d * weight[n * inputs + k];
        dweight[n * inputs + k] += d * x[t * inputs + k];
      }
    }
  }
  return { dx, dweight, dbias };
}
