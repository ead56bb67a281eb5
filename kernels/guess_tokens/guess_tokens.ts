/**
 * Tokens that sequences may go on with, guessed from their first ones: the drafts of speculative decoding (Leviathan, Kalman and Matias 2023,
 * arXiv:2211.17192). Letters: R sequences, N rows of each, G guesses.
 */
import type { Plan } from "../plan.ts";
import { expectShape, type Tensor } from "../tensor.ts";
import code from "./guess_tokens.wgsl" with { type: "text" };

/** Arguments of {@linkcode guessTokens}. */
export interface GuessTokensArgs {
  /** First token of each sequence (R) u32. */
  first: Tensor;
  /** Tokens of each guess, filled up with any (G, N) u32. */
  guesses: Tensor;
}

/**
 * For each sequence its first token, followed by what follows it in the first guess that begins with it, or by itself where none does.
 *
 * @returns (R · N) u32
 * @throws {Error} when shapes do not fit together
 */
export function guessTokens(plan: Plan, { first, guesses }: GuessTokensArgs): Tensor {
  expectShape(first, [-1], "u32");
  expectShape(guesses, [-1, -1], "u32");
  const [[sequences], [count, rows]] = [first.shape, guesses.shape];
  const ids = plan.scratch([sequences * rows], { dtype: "u32", label: "guessed tokens" });
  plan.dispatch({ label: "guess_tokens", code }, {
    tensors: { first, guesses, ids },
    params: { sequences, rows, guesses: count },
    workgroups: [1],
  });
  return ids;
}
