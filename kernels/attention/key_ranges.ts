/** Which queries may see a key, as ranges: made on the host from the keys that each query sees, read by the attention kernels. */

/**
 * For every key the first query that sees it, and one after the last. Queries between them need not see it.
 *
 * @param ranges key ranges of the queries (R, 2)
 * @param keys number of keys
 * @returns (keys, 2); zeros for a key that no query sees
 */
export function invertRanges(ranges: ArrayLike<number>, keys: number): Uint32Array<ArrayBuffer> {
  const inverse = new Uint32Array(2 * keys);
  for (let row = 0; row < ranges.length / 2; row++) {
    const last = Math.min(ranges[2 * row + 1], keys);
    for (let key = ranges[2 * row]; key < last; key++) {
      if (inverse[2 * key + 1] === 0) inverse[2 * key] = row;
      inverse[2 * key + 1] = row + 1;
    }
  }
  return inverse;
}
