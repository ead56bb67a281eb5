/** Attention over key ranges in f64: the specification of the kernels. */

/** Operands and shape of {@linkcode attentionReference}. */
export interface AttentionReferenceArgs {
  /** Queries (R, H · hd). */
  q: ArrayLike<number>;
  /** Keys (C, KVH · hd). */
  k: ArrayLike<number>;
  /** Values (C, KVH · hd). */
  v: ArrayLike<number>;
  /** Key range of every query (R, 2). */
  ranges: ArrayLike<number>;
  /** H */
  heads: number;
  /** KVH */
  kvHeads: number;
  /** hd */
  headDim: number;
  /** Factor of the scores. */
  scale: number;
}

/** Softmax weights of one query and head over its keys; with the logarithm of the sum of exponentials (0 for no keys). */
function weights(args: AttentionReferenceArgs, row: number, head: number): { first: number; p: number[]; lse: number } {
  const { q, k, ranges, heads, kvHeads, headDim, scale } = args;
  const kvHead = Math.floor(head / (heads / kvHeads));
  const [first, last] = [ranges[2 * row], ranges[2 * row + 1]];
  const scores: number[] = [];
  for (let key = first; key < last; key++) {
    let score = 0;
    for (let i = 0; i < headDim; i++) score += q[(row * heads + head) * headDim + i] * k[(key * kvHeads + kvHead) * headDim + i];
    scores.push(score * scale);
  }
  if (scores.length === 0) return { first, p: [], lse: 0 };
  const largest = Math.max(...scores);
  const sum = scores.reduce((total, score) => total + Math.exp(score - largest), 0);
  return { first, p: scores.map((score) => Math.exp(score - largest) / sum), lse: largest + Math.log(sum) };
}

/** out (R, H · hd) and lse (R, H). */
export function attentionReference(args: AttentionReferenceArgs): { out: Float64Array; lse: Float64Array } {
  const { v, ranges, heads, kvHeads, headDim } = args;
  const rows = ranges.length / 2;
  const out = new Float64Array(rows * heads * headDim);
  const lse = new Float64Array(rows * heads);
  for (let row = 0; row < rows; row++) {
    for (let head = 0; head < heads; head++) {
      const kvHead = Math.floor(head / (heads / kvHeads));
      const { first, p, lse: value } = weights(args, row, head);
      lse[row * heads + head] = value;
      p.forEach((weight, t) => {
        for (let i = 0; i < headDim; i++) {
          out[(row * heads + head) * headDim + i] += weight * v[((first + t) * kvHeads + kvHead) * headDim + i];
        }
      });
    }
  }
  return { out, lse };
}

/** dq (R, H · hd), dk and dv (C, KVH · hd) for a gradient dout (R, H · hd). */
export function attentionBackwardReference(
  args: AttentionReferenceArgs,
  dout: ArrayLike<number>,
): { dq: Float64Array; dk: Float64Array; dv: Float64Array } {
  const { q, k, v, ranges, heads, kvHeads, headDim, scale } = args;
  const dq = new Float64Array(q.length);
  const dk = new Float64Array(k.length);
  const dv = new Float64Array(v.length);
  for (let row = 0; row < ranges.length / 2; row++) {
    for (let head = 0; head < heads; head++) {
      const kvHead = Math.floor(head / (heads / kvHeads));
      const { first, p } = weights(args, row, head);
      const atQuery = (row * heads + head) * headDim;
      const dp = p.map((weight, t) => {
        const atKey = ((first + t) * kvHeads + kvHead) * headDim;
        let sum = 0;
        for (let i = 0; i < headDim; i++) {
          sum += dout[atQuery + i] * v[atKey + i];
          dv[atKey + i] += weight * dout[atQuery + i];
        }
        return sum;
      });
      const mean = p.reduce((sum, weight, t) => sum + weight * dp[t], 0);
      p.forEach((weight, t) => {
        const atKey = ((first + t) * kvHeads + kvHead) * headDim;
        const ds = weight * (dp[t] - mean) * scale;
        for (let i = 0; i < headDim; i++) {
          dq[atQuery + i] += ds * k[atKey + i];
          dk[atKey + i] += ds * q[atQuery + i];
        }
      });
    }
  }
  return { dq, dk, dv };
}
