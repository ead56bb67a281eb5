/** PyTorch's MultiheadAttention with one head in plain f64 loops, keys and values projected. n queries, N features, D their size. */

/** Parameters as flat arrays; `inWeight` (3D, D), `inBias` (3D), `outWeight` (D, D), `outBias` (D), `queries` (n, D). */
export interface CrossAttentionArrays {
  queries: ArrayLike<number>;
  inWeight: ArrayLike<number>;
  inBias: ArrayLike<number>;
  outWeight: ArrayLike<number>;
  outBias: ArrayLike<number>;
}

/** x (rows, D) · wᵀ + b with D rows of w from row `first` on. */
function project(
  x: ArrayLike<number>,
  p: { weight: ArrayLike<number>; bias: ArrayLike<number>; first: number; size: number },
): Float64Array {
  const { weight, bias, first, size } = p;
  return Float64Array.from({ length: x.length }, (_, i) => {
    const row = Math.floor(i / size);
    const column = first + i % size;
    let sum = bias[column];
    for (let k = 0; k < size; k++) sum += x[row * size + k] * weight[column * size + k];
    return sum;
  });
}

/** z (n, D) and the weights (n, N). */
export function crossAttentionReference(
  parameters: CrossAttentionArrays,
  features: ArrayLike<number>,
  size: number,
): { z: Float64Array; attention: Float64Array } {
  const { queries, inWeight, inBias, outWeight, outBias } = parameters;
  const part = { weight: inWeight, bias: inBias, size };
  const q = project(queries, { ...part, first: 0 });
  const k = project(features, { ...part, first: size });
  const v = project(features, { ...part, first: 2 * size });
  const [n, count] = [queries.length / size, features.length / size];
  const attention = new Float64Array(n * count);
  const mixed = new Float64Array(n * size);
  for (let i = 0; i < n; i++) {
    const scores = Array.from({ length: count }, (_, j) => {
      let sum = 0;
      for (let d = 0; d < size; d++) sum += q[i * size + d] * k[j * size + d];
      return sum / Math.sqrt(size);
    });
    const largest = Math.max(...scores);
    const total = scores.reduce((sum, s) => sum + Math.exp(s - largest), 0);
    scores.forEach((s, j) => {
      const a = attention[i * count + j] = Math.exp(s - largest) / total;
      for (let d = 0; d < size; d++) mixed[i * size + d] += a * v[j * size + d];
    });
  }
  return { z: project(mixed, { weight: outWeight, bias: outBias, first: 0, size }), attention };
}
