/**
 * How token sequences lie side by side in one pass of the language model. Letters: T rows of the pass (the sequences, then padding),
 * A answer rows (those whose logits are wanted).
 */
import { causalRanges, invertRanges } from "../../kernels/attention/key_ranges.ts";

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
}

/**
 * Lays sequences out.
 *
 * @param segments the sequences, in order
 * @param sizes T and A, at least what the segments need; keys that stand before the rows' own (then there is one segment, its positions go on
 *   behind theirs, and `keyRanges` are those of all keys)
 */
export function layoutSequences(
  segments: readonly Segment[],
  sizes: { rows: number; answers: number; before?: KeysBefore },
): SequenceLayout {
  const { rows, answers, before = { first: 0, end: 0 } } = sizes;
  if (before.end > 0 && segments.length > 1) throw new Error("layoutSequences: one sequence at a time can have keys before it");
  const starts: number[] = [];
  const positions = new Uint32Array(rows * 3);
  const ranges = new Uint32Array(rows * 2);
  const answerRows = new Uint32Array(answers);
  const answerPositions = new Uint32Array(answers * 3);
  const answerRanges = new Uint32Array(answers * 2);
  let row = 0;
  let answer = 0;
  for (const { length, positions: given, answers: wanted, reserve = 0 } of segments) {
    starts.push(row);
    for (let i = 0; i < length; i++) {
      for (let axis = 0; axis < 3; axis++) positions[(row + i) * 3 + axis] = given ? given[i * 3 + axis] : before.end - before.first + i;
    }
    const own = causalRanges({ segments: [length], rows: length });
    ranges.set(own.map((key, i) => before.end ? (i % 2 ? before.end + key : before.first) : row + key), row * 2);
    for (const i of wanted) {
      answerRows[answer] = row + i;
      answerPositions.set(positions.subarray((row + i) * 3, (row + i + 1) * 3), answer * 3);
      answerRanges.set(ranges.subarray((row + i) * 2, (row + i + 1) * 2), answer * 2);
      answer++;
    }
    row += length + reserve;
  }
  return {
    starts,
    positions,
    ranges,
    keyRanges: invertRanges(ranges, before.end + rows).fill(0, 0, 2 * before.end), // no gradient into the head
    answers: answerRows,
    answerPositions,
    answerRanges,
    answerKeyRanges: invertRanges(answerRanges, before.end + rows).fill(0, 0, 2 * before.end),
  };
}
