/** The source of random numbers that `demo/emoset` was drawn with. */

/**
 * Mulberry32 (Tommy Ettinger): 32 bits of state.
 *
 * @param seed the state to begin with, modulo 2³²
 * @returns a function that draws the next number in [0, 1)
 */
export function mulberry32(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = state;
    mixed = Math.imul(mixed ^ (mixed >>> 15), mixed | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}
