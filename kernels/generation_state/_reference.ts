/** The state of decoding as plain arrays. */
export interface PlainGenerationState {
  ids: number[];
  positions: number[];
  ranges: number[];
  cacheRow: number[];
  step: number;
  generated: number[][];
}

/** Takes chosen tokens into the state; `storeOnly` leaves positions, ranges and rows. */
export function advanceGenerationReference(state: PlainGenerationState, next: number[], storeOnly: boolean): PlainGenerationState {
  const by = storeOnly ? 0 : 1;
  return {
    ids: [...next],
    positions: state.positions.map((p) => p + by),
    ranges: state.ranges.map((key, i) => i % 2 ? key + by : key),
    cacheRow: state.cacheRow.map((row) => row + by),
    step: state.step + 1,
    generated: state.generated.map((tokens, r) => tokens.map((token, i) => i === state.step ? next[r] : token)),
  };
}
