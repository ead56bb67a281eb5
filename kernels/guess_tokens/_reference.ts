/** Guessed tokens as plain arrays: the specification of the kernel. */

/**
 * The first tokens of sequences, each followed by what follows it in the first guess that begins with it, or by itself where none does.
 *
 * @returns `rows` tokens of each sequence, one sequence behind the other
 */
export function guessTokensReference(first: readonly number[], guesses: readonly (readonly number[])[], rows: number): number[] {
  return first.flatMap((token) => {
    const guess = guesses.find((ids) => ids[0] === token) ?? [];
    return Array.from({ length: rows }, (_, i) => guess[i] ?? token);
  });
}
