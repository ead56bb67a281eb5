/**
 * How token sequences lie side by side in one pass of the language model. Letters: T rows of the pass (the sequences, then padding),
 * A answer rows (those whose logits are wanted).
 */
import { invertRanges } from "../../kernels/attention/key_ranges.ts";

/** One sequence of a pass. */
export interface Segment {
  /** Number of tokens. */
  length: number;
  /** Positions (length, 3) on the axes time, row, column; 0, 1, 2, … on all three when left out. */
  positions?: ArrayLike<number>;
  /** Rows of the sequence whose logits are wanted, ascending. */
  answers: readonly number[];
  /** Empty rows kept behind the sequence, for tokens to come. */
  reserve?: number;
}

/** Rows, positions and who may see whom, as the kernels take it. */
export interface SequenceLayout {
  /** First row of every sequence. */
  starts: number[];
  /** (T, 3) */
  positions: Uint32Array;
  /** Keys [first, end) of every row (T, 2). */
  ranges: Uint32Array;
  /** Rows [first, end) that see a key (C, 2), C = T and the keys before. */
  keyRanges: Uint32Array;
  /** Row of every answer (A); padding points at row 0 and sees nothing. */
  answers: Uint32Array;
  /** (A, 3) */
  answerPositions: Uint32Array;
  /** Keys of every answer (A, 2). */
  answerRanges: Uint32Array;
  /** Answers [first, end) that see a key (C, 2). */
  answerKeyRanges: Uint32Array;
  /** Keys of every sequence: the first that it sees, and that of its first row. */
  places: { first: number; own: number }[];
  /** Key that is each row's own (T); padding has the last key, which no row sees where `before.stride` is given. */
  cacheRows: Uint32Array;
}

/** Rows of a pass for that many tokens: rounded up, so that few shapes of plans come about. */
export function roundRows(tokens: number): number {
  const step = tokens <= 256 ? 8 : tokens <= 1024 ? 32 : 64;
  return Math.ceil(Math.max(tokens, 1) / step) * step;
}

/** Answer rows of a pass for that many answers. */
export function roundAnswers(answers: number): number {
  return Math.ceil(Math.max(answers, 1) / 4) * 4;
}

/** Number of rows that the segments take with what they reserve. */
export function totalRows(segments: readonly Segment[]): number {
  return segments.reduce((sum, { length, reserve = 0 }) => sum + length + reserve, 0);
}

/** Keys that stand before a sequence's own: those of the prompt's head. */
export interface KeysBefore {
  /** First of them. */
  first: number;
  /** Behind the last of them: the key of the sequence's first row. */
  end: number;
  /** Keys from one sequence's first one to the next sequence's, each with the head before it; for one sequence only when left out. */
  stride?: number;
}

/**
 * Lays sequences out.
 *
 * @param segments the sequences, in order
 * @param sizes T and A, at least what the segments need; keys that stand before the rows' own (then positions go on behind theirs, and
 *   `keyRanges` are those of all keys); number of all keys, T and those before when left out
 */
export function layoutSequences(
  segments: readonly Segment[],
  sizes: { rows: number; answers: number; before?: KeysBefore; keys?: number },
): SequenceLayout {
  const { rows, answers, before = { first: 0, end: 0 } } = sizes;
  const { stride } = before;
  const { keys = before.end + rows } = sizes;
  if (before.end > 0 && segments.length > 1 && stride === undefined) {
    throw new Error("layoutSequences: several sequences with keys before them need a stride");
  }
  const starts: number[] = [];
  const places: { first: number; own: number }[] = [];
  const positions = new Uint32Array(rows * 3);
  const ranges = new Uint32Array(rows * 2);
  const answerRows = new Uint32Array(answers);
  const answerPositions = new Uint32Array(answers * 3);
  const answerRanges = new Uint32Array(answers * 2);
  const cacheRows = new Uint32Array(rows).fill(keys - 1);
  let row = 0;
  let answer = 0;
  segments.forEach(({ length, positions: given, answers: wanted, reserve = 0 }, s) => {
    starts.push(row);
    const own = stride === undefined ? before.end + row : s * stride + before.end; // key of the first row
    const first = stride !== undefined || before.end > 0 ? own - before.end + before.first : own;
    places.push({ first, own });
    for (let i = 0; i < length; i++) {
      for (let axis = 0; axis < 3; axis++) positions[(row + i) * 3 + axis] = given ? given[i * 3 + axis] : before.end - before.first + i;
    }
    for (let i = 0; i < length; i++) {
      ranges.set([first, own + i + 1], (row + i) * 2);
      cacheRows[row + i] = own + i;
    }
    for (const i of wanted) {
      answerRows[answer] = row + i;
      answerPositions.set(positions.subarray((row + i) * 3, (row + i + 1) * 3), answer * 3);
      answerRanges.set(ranges.subarray((row + i) * 2, (row + i + 1) * 2), answer * 2);
      answer++;
    }
    row += length + reserve;
  });
  const inverse = (of: Uint32Array) => {
    const result = invertRanges(of, keys);
    for (let s = 0; s < Math.max(1, segments.length); s++) { // no gradient into the head
      const base = s * (stride ?? 0);
      result.fill(0, 2 * base, 2 * (base + before.end));
    }
    return result;
  };
  return {
    starts,
    positions,
    ranges,
    keyRanges: inverse(ranges),
    answers: answerRows,
    answerPositions,
    answerRanges,
    answerKeyRanges: inverse(answerRanges),
    places,
    cacheRows,
  };
}
