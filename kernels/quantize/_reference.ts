/** Quantised weights in plain f64 loops: the specification of the kernel. */

/** Levels and scales of a matrix. */
export interface QuantizedReference {
  /** (R, K) */
  levels: Int8Array;
  /** (R, groups of a row), f16 values */
  scales: Float64Array;
  /** level · scale (R, K) */
  values: Float64Array;
}

/** Options of {@linkcode quantizeReference}. */
export interface QuantizeReferenceOptions {
  /** K */
  columns: number;
  /** int8: levels -127 to 127; int4: levels -8 to 7. */
  type: "int8" | "int4";
  /** Numbers of a group. */
  group: number;
  /** What a group's largest number is divided by, one after the other; the least squared error wins. */
  divisors: readonly number[];
}

/** Rounds every group of a row to the nearest multiples of a scale. */
export function quantizeReference(weights: ArrayLike<number>, options: QuantizeReferenceOptions): QuantizedReference {
  const { columns, type, group, divisors } = options;
  const [lowest, highest, sign] = type === "int8" ? [-127, 127, 1] : [-8, 7, -1];
  const perRow = Math.ceil(columns / group);
  const levels = new Int8Array(weights.length);
  const values = new Float64Array(weights.length);
  const scales = new Float64Array(weights.length / columns * perRow);
  for (let g = 0; g < scales.length; g++) {
    const start = Math.floor(g / perRow) * columns + (g % perRow) * group;
    const end = Math.min(start + group, (Math.floor(g / perRow) + 1) * columns);
    const own = Array.from({ length: end - start }, (_, i) => weights[start + i]);
    const largest = own.reduce((most, value) => Math.abs(value) > Math.abs(most) ? value : most, 0);
    const round = (scale: number) => own.map((value) => scale ? Math.max(lowest, Math.min(highest, Math.round(value / scale))) : 0);
    const error = (scale: number) => round(scale).reduce((sum, level, i) => sum + (own[i] - level * scale) ** 2, 0);
    const candidates = divisors.map((divisor) => Float16Array.of(sign * largest / divisor)[0]);
    scales[g] = candidates.reduce((best, scale) => error(scale) < error(best) ? scale : best);
    levels.set(round(scales[g]), start);
    for (let i = start; i < end; i++) values[i] = levels[i] * scales[g];
  }
  return { levels, scales, values };
}
