/** Which keys a query may see, as ranges, for tests. */

/**
 * Ranges of causal attention inside packed sequences: row i sees the rows of its own sequence up to itself.
 *
 * @param options.segments lengths of the sequences, which lie one after the other from row 0 on
 * @param options.rows rows in all; those beyond the last sequence are padding and see nothing. The sum of `segments` when left out
 * @returns (rows, 2): first key, and one after the last
 * @throws {RangeError} when the sequences are longer than `rows`
 */
export function causalRanges(options: { segments: readonly number[]; rows?: number }): Uint32Array<ArrayBuffer> {
  const { segments } = options;
  const total = segments.reduce((sum, length) => sum + length, 0);
  const { rows = total } = options;
  if (total > rows) throw new RangeError(`sequences of ${segments.join(" + ")} = ${total} rows do not fit into ${rows}`);
  const ranges = new Uint32Array(2 * rows);
  let start = 0;
  for (const length of segments) {
    for (let i = start; i < start + length; i++) ranges.set([start, i + 1], 2 * i);
    start += length;
  }
  return ranges;
}

/**
 * Ranges of full attention inside packed blocks: a row sees all rows of its own block.
 *
 * @param options.segments lengths of the blocks, which lie one after the other from row 0 on
 * @param options.rows rows in all, those beyond the last block see nothing; the sum of `segments` when left out
 * @returns (rows, 2): first key, and one after the last
 * @throws {RangeError} when the blocks are longer than `rows`
 */
export function fullRanges(options: { segments: readonly number[]; rows?: number }): Uint32Array<ArrayBuffer> {
  const ranges = causalRanges(options);
  let start = 0;
  for (const length of options.segments) {
    for (let i = start; i < start + length; i++) ranges[2 * i + 1] = start + length;
    start += length;
  }
  return ranges;
}
