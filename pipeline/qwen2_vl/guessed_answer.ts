/** What is known of an answer when the tokens behind guessed ones were computed. */

/** Options of {@linkcode guessedAnswer}. */
export interface GuessedAnswerOptions {
  /** First token of the answer. */
  first: number;
  /** The token behind the first one, and behind each guessed one. */
  choices: readonly number[];
  /** Guesses: the first that begins with the same token was tried. */
  guesses: readonly (readonly number[])[];
  /** Tokens of an answer at most. */
  maxNewTokens: number;
  /** Ids that end an answer. */
  eosIds: readonly number[];
}

/**
 * The greedy answer, its end token included; undefined where it went on otherwise than was guessed before it came to an end. A choice is what greedy
 * generation chooses there as long as everything before it was guessed right.
 */
export function guessedAnswer({ first, choices, guesses, maxNewTokens, eosIds }: GuessedAnswerOptions): number[] | undefined {
  const guess = guesses.find(([token]) => token === first) ?? [];
  const tokens = [first];
  const isWhole = () => tokens.length >= maxNewTokens || eosIds.includes(tokens.at(-1)!);
  for (const choice of choices) {
    if (isWhole() || (guess[tokens.length - 1] ?? first) !== tokens.at(-1)) break;
    tokens.push(choice);
  }
  return isWhole() ? tokens : undefined;
}
