/** One AdamW update in f64, in place. */
export function adamWReference(
  state: { parameter: Float64Array; m: Float64Array; v: Float64Array },
  gradient: ArrayLike<number>,
  options: { learningRate: number; betas: readonly [number, number]; eps: number; weightDecay: number; step: number; scale: number },
): void {
  const { learningRate, betas: [b1, b2], eps, weightDecay, step, scale } = options;
  const { parameter, m, v } = state;
  for (let i = 0; i < parameter.length; i++) {
    const g = gradient[i] * scale;
    m[i] = b1 * m[i] + (1 - b1) * g;
    v[i] = b2 * v[i] + (1 - b2) * g * g;
    parameter[i] *= 1 - learningRate * weightDecay;
    parameter[i] -= learningRate * (m[i] / (1 - b1 ** step)) / (Math.sqrt(v[i] / (1 - b2 ** step)) + eps);
  }
}
