import { MaspError } from "../errors.ts";

/** Options of {@linkcode mostVotes}. */
export interface MostVotesOptions {
  /** Labels of the columns. */
  labels: readonly string[];
  /** File and line, for messages. */
  place: string;
}

/**
 * The label with most votes.
 *
 * @param cells Votes or probabilities as they stand in the file, one for each label.
 * @param options See {@linkcode MostVotesOptions}.
 * @returns The label (the first one of several), or `undefined` when none has a vote.
 * @throws {MaspError} When a cell is no number of at least 0.
 */
export function mostVotes(cells: readonly (string | undefined)[], options: MostVotesOptions): string | undefined {
  let most = 0;
  let winner: string | undefined;
  options.labels.forEach((label, index) => {
    const cell = cells[index]?.trim();
    const votes = cell ? Number(cell) : NaN;
    if (!(votes >= 0 && votes < Infinity)) {
      const found = cell === undefined ? "missing" : `"${cell}"`;
      throw new MaspError(`${options.place}: the value for ${label} is ${found}, expected a number of at least 0; correct the file`);
    }
    if (votes > most) [most, winner] = [votes, label];
  });
  return winner;
}

/** The lines of a text that are not empty, with their numbers from 1; a byte order mark and carriage returns are removed. */
export function tableLines(text: string): { line: string; number: number }[] {
  return text.replace(/^\uFEFF/, "").split(/\r?\n/).map((line, index) => ({ line, number: index + 1 })).filter(({ line }) =>
    line.trim() !== ""
  );
}
