/** A seeded source of random numbers; see {@linkcode seededRandom}. */
export interface Random {
  /** Uniform in [0, 1), 53 bits. */
  next(): number;
  /** Uniform whole number in [0, n), 1 ≤ n ≤ 2³². @throws {RangeError} When `n` is no such number. */
  int(n: number): number;
  /** Standard normal: mean 0, variance 1 (Box–Muller). */
  normal(): number;
  /** A shuffled copy (Fisher–Yates); the array itself stays as it is. */
  shuffle<T>(array: readonly T[]): T[];
}

/**
 * Random numbers that are the same on every machine for the same seed and stream. Streams of one seed are independent of each other, so drawing
 * more numbers for one purpose never changes another.
 *
 * The algorithm is sfc32 (Chris Doty-Humphrey, PractRand: 128 bits of state, one of them a counter), seeded with four FNV-1a hashes of
 * `seed/stream`, each finished by MurmurHash3's mixer; the first 16 outputs are thrown away.
 *
 * @param seed Any safe integer.
 * @param stream What the numbers are for, such as `"epoch 3"`.
 * @throws {RangeError} When the seed is no safe integer.
 *
 * @example
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { seededRandom } from "./random.ts";
 *
 * assertEquals(seededRandom(7, "colours").int(100), seededRandom(7, "colours").int(100));
 * ```
 */
export function seededRandom(seed: number, stream: string): Random {
  if (!Number.isSafeInteger(seed)) throw new RangeError(`The seed is ${seed}, expected a whole number`);
  const uint32 = sfc32([0, 1, 2, 3].map((part) => hash(`${part}/${seed}/${stream}`)));
  let spare: number | undefined;
  const random: Random = {
    next: () => ((uint32() >>> 5) * 2 ** 26 + (uint32() >>> 6)) / 2 ** 53,
    int(n) {
      if (!Number.isInteger(n) || n < 1 || n > 2 ** 32) {
        throw new RangeError(`Cannot draw below ${n}, expected a whole number from 1 to 2³²`);
      }
      const limit = 2 ** 32 - (2 ** 32 % n); // numbers from here on would favour the small remainders
      let value = uint32();
      while (value >= limit) value = uint32();
      return value % n;
    },
    normal() {
      if (spare !== undefined) {
        const value = spare;
        spare = undefined;
        return value;
      }
      const radius = Math.sqrt(-2 * Math.log(1 - random.next()));
      const angle = 2 * Math.PI * random.next();
      spare = radius * Math.sin(angle);
      return radius * Math.cos(angle);
    },
    shuffle(array) {
      const copy = [...array];
      for (let i = copy.length - 1; i > 0; i--) {
        const j = random.int(i + 1);
        [copy[i], copy[j]] = [copy[j], copy[i]];
      }
      return copy;
    },
  };
  return random;
}

/** sfc32 from four words of state; returns the function that draws the next 32 bits. */
function sfc32(words: number[]): () => number {
  let [a, b, c, counter] = words;
  const draw = () => {
    const sum = (((a + b) | 0) + counter) | 0;
    counter = (counter + 1) | 0;
    a = b ^ (b >>> 9);
    b = (c + (c << 3)) | 0;
    c = (((c << 21) | (c >>> 11)) + sum) | 0;
    return sum >>> 0;
  };
  for (let i = 0; i < 16; i++) draw();
  return draw;
}

/** FNV-1a over the UTF-8 bytes, finished by MurmurHash3's mixer. */
function hash(text: string): number {
  let h = 0x811c9dc5;
  for (const byte of new TextEncoder().encode(text)) h = Math.imul(h ^ byte, 0x01000193);
  h = Math.imul(h ^ (h >>> 16), 0x85ebca6b);
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35);
  return (h ^ (h >>> 16)) | 0;
}
