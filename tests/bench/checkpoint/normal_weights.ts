/** Seeded normal numbers in bf16, fast enough to fill a disk: a table of quantiles, looked up with 16 random bits each. */
import { seededRandom } from "../../../pipeline/data/random.ts";

const SIZE = 65536;
let quantiles: Float64Array | undefined;

/**
 * Fills arrays with numbers from N(mean, std²), rounded to bf16. The numbers depend on seed and stream alone, however many are asked for at a
 * time. At most 4.3 standard deviations from the mean.
 *
 * @param seed Any whole number.
 * @param options `stream`: what the numbers are for, as a tensor's name; `mean` and `std` of the distribution.
 * @returns A function that fills an array of even length.
 */
export function normalBf16(seed: number, options: { stream: string; mean?: number; std: number }): (target: Uint16Array) => void {
  const { stream, mean = 0, std } = options;
  quantiles ??= Float64Array.from({ length: SIZE }, (_, i) => normalQuantile((i + 0.5) / SIZE));
  const table = toBf16(Float32Array.from(quantiles, (z) => mean + std * z));
  const start = seededRandom(seed, stream);
  const state = [0, 1, 2, 3].map(() => start.int(2 ** 32) | 0);
  return (target) => {
    let [a, b, c, counter] = state;
    for (let i = 0; i < target.length; i += 2) { // sfc32, as in `random.ts`
      const word = (((a + b) | 0) + counter) | 0;
      counter = (counter + 1) | 0;
      a = b ^ (b >>> 9);
      b = (c + (c << 3)) | 0;
      c = (((c << 21) | (c >>> 11)) + word) | 0;
      target[i] = table[word & 0xffff];
      target[i + 1] = table[word >>> 16];
    }
    [state[0], state[1], state[2], state[3]] = [a, b, c, counter];
  };
}

/** Numbers as bf16, rounded to nearest, ties to even. */
function toBf16(values: Float32Array<ArrayBuffer>): Uint16Array {
  return Uint16Array.from(new Uint32Array(values.buffer), (bits) => (bits + 0x7fff + ((bits >>> 16) & 1)) >>> 16);
}

/** Inverse of the normal distribution's cumulative function: P. J. Acklam's rational approximation, relative error below 1.2e-9. */
export function normalQuantile(p: number): number {
  if (p > 0.5) return -normalQuantile(1 - p);
  const polynomial = (x: number, ...coefficients: number[]) => coefficients.reduce((sum, c) => sum * x + c, 0);
  if (p < 0.02425) {
    const q = Math.sqrt(-2 * Math.log(p));
    return polynomial(
      q,
      -7.784894002430293e-3,
      -0.3223964580411365,
      -2.400758277161838,
      -2.549732539343734,
      4.374664141464968,
      2.938163982698783,
    ) /
      polynomial(q, 7.784695709041462e-3, 0.3224671290700398, 2.445134137142996, 3.754408661907416, 1);
  }
  const q = p - 0.5;
  const r = q * q;
  return q *
    polynomial(r, -39.69683028665376, 220.9460984245205, -275.9285104469687, 138.357751867269, -30.66479806614716, 2.506628277459239) /
    polynomial(r, -54.47609879822406, 161.5858368580409, -155.6989798598866, 66.80131188771972, -13.28068155288572, 1);
}
