/** Rotary position embedding in f64: the specification of the kernel. */

/** Options of {@linkcode rotaryReference}. */
export interface RotaryReferenceOptions {
  /** Positions (T, A). */
  positions: ArrayLike<number>;
  /** By which angle, in radians, a pair is turned at a position. */
  angle: (position: number, pair: number) => number;
  /** Position column of every pair (headDim / 2). */
  axes: ArrayLike<number>;
  /** A. */
  axisCount: number;
  /** Number of heads. */
  heads: number;
}

/** y (T, heads · headDim): the pair (j, j + headDim/2) of every head of x turned by its angle. */
export function rotaryReference(x: ArrayLike<number>, options: RotaryReferenceOptions): Float64Array {
  const { positions, angle, axes, axisCount, heads } = options;
  const half = axes.length;
  const y = new Float64Array(x.length);
  for (let row = 0; row < positions.length / axisCount; row++) {
    for (let head = 0; head < heads; head++) {
      for (let j = 0; j < half; j++) {
        const turn = angle(positions[row * axisCount + axes[j]], j);
        const a = (row * heads + head) * 2 * half + j;
        const b = a + half;
        y[a] = x[a] * Math.cos(turn) - x[b] * Math.sin(turn);
        y[b] = x[b] * Math.cos(turn) + x[a] * Math.sin(turn);
      }
    }
  }
  return y;
}
