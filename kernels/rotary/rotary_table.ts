/** Sines and cosines for `rotary`, rounded as PyTorch rounds them in transformers' modeling_qwen2_vl.py. Host only. */

/** What `rotary` looks up. */
export interface RotaryTable {
  /** Cosine and sine (positions, headDim / 2, 2). */
  table: Float32Array<ArrayBuffer>;
  /** Position column of every pair (headDim / 2). */
  axes: Uint32Array<ArrayBuffer>;
}

/** Options of {@linkcode mropeTable}. */
export interface MropeTableOptions {
  /** Numbers of a head, even. */
  headDim: number;
  /** Base of the frequencies (`rope_theta`). */
  base: number;
  /** Number of positions. */
  positions: number;
  /** The first of them; 0 when left out. */
  first?: number;
  /** How many pairs turn with each axis, in order (`mrope_section`: time, row, column); their sum is headDim / 2. One axis when left out. */
  sections?: readonly number[];
}

/**
 * Table of the language model: pair j has the frequency base^(−2j / headDim).
 *
 * @throws {RangeError} when headDim is odd or the sections do not add up to headDim / 2
 */
export function mropeTable(options: MropeTableOptions): RotaryTable {
  const { headDim, base, sections } = options;
  if (headDim % 2) throw new RangeError(`rotary table: head size ${headDim} is odd; expected an even number`);
  const half = headDim / 2;
  const sum = sections?.reduce((a, b) => a + b, 0) ?? half;
  if (sum !== half) throw new RangeError(`mrope_section [${sections}] adds up to ${sum}; expected half the head size, ${half}`);
  const axes = Uint32Array.from((sections ?? [half]).flatMap((count, axis) => Array<number>(count).fill(axis)));
  return { table: angles(inverseFrequencies(headDim, base), options), axes };
}

/**
 * Table of the vision tower: the first headDim / 4 pairs turn with the row (axis 0), the others with the column (axis 1), base 10000.
 *
 * @param options head size (a multiple of 4), number of positions and the first of them (0 when left out)
 * @throws {RangeError} when headDim is no multiple of 4
 */
export function visionRotaryTable(options: { headDim: number; positions: number; first?: number }): RotaryTable {
  const { headDim } = options;
  if (headDim % 4) throw new RangeError(`rotary table: vision head size ${headDim}; expected a multiple of 4`);
  const frequencies = inverseFrequencies(headDim / 2, 1e4);
  const quarter = headDim / 4;
  const axes = Uint32Array.from({ length: 2 * quarter }, (_, pair) => pair < quarter ? 0 : 1);
  return { table: angles(Float32Array.of(...frequencies, ...frequencies), options), axes };
}

/** 1 / base^(2j / dim), every step rounded to f32. */
function inverseFrequencies(dim: number, base: number): Float32Array {
  return Float32Array.from({ length: dim / 2 }, (_, j) => 1 / Math.fround(Math.pow(base, Math.fround(2 * j / dim))));
}

/** Cosines and sines of position · frequency, the product rounded to f32. */
function angles(
  frequencies: Float32Array,
  { positions, first = 0 }: { positions: number; first?: number },
): Float32Array<ArrayBuffer> {
  const table = new Float32Array(positions * frequencies.length * 2);
  let at = 0;
  for (let position = first; position < first + positions; position++) {
    for (const frequency of frequencies) {
      const angle = Math.fround(position * frequency);
      table[at++] = Math.cos(angle);
      table[at++] = Math.sin(angle);
    }
  }
  return table;
}
