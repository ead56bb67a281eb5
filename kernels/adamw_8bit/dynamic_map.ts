/** The tables of dynamic 8-bit quantisation (Dettmers 2015, arXiv:1511.04561; Dettmers et al. 2021, arXiv:2110.02861). */

/** Decades that the table covers below 1. */
const DECADES = 7;

/**
 * The 256 values of `create_dynamic_map` in bitsandbytes, in rising order: 0, 1, and in each decade 10ᵏ⁻¹…10ᵏ (k = 0, −1, … −6) the
 * centres of equally wide intervals, half as many in each smaller decade (signed: 64, 32, … 1 of either sign; unsigned: 128, 64, … 2).
 * −1 is not among the signed values; the lowest is −0.99296875.
 *
 * @param options.signed whether negative values are needed (first moments) or not (second moments)
 * @returns (256); 0 is at {@linkcode zeroCode}
 */
export function dynamicMap(options: { signed: boolean }): Float32Array<ArrayBuffer> {
  const { signed } = options;
  const values = [0, 1];
  for (let decade = 0; decade < DECADES; decade++) {
    const intervals = 2 ** (signed ? decade : decade + 1);
    const scale = 10 ** (decade - DECADES + 1);
    for (let i = 0; i < intervals; i++) {
      const value = scale * (0.1 + 0.9 * (i + 0.5) / intervals);
      values.push(value);
      if (signed) values.push(-value);
    }
  }
  return Float32Array.from(values).sort();
}

/** The code that stands for 0: 127 in the signed table, 0 in the unsigned one. */
export function zeroCode(options: { signed: boolean }): number {
  return options.signed ? 2 ** DECADES - 1 : 0;
}
