/** Given tokens behind prompts, whose keys and values are in the caches: a plan, and what it is run on. Letters: R prompts, S continuations. */
import { crossEntropy } from "../../kernels/cross_entropy/cross_entropy.ts";
import { inputBlock } from "../../kernels/input_block.ts";
import type { Matrix } from "../../kernels/linear/matrix.ts";
import { Plan } from "../../kernels/plan.ts";
import type { Tensor } from "../../kernels/tensor.ts";
import { weightedSums } from "../../kernels/weighted_sums/weighted_sums.ts";
import { answerLogits } from "./answer_loss.ts";
import type { PromptEnd } from "./generation_plans.ts";
import { embedRows, languageModel } from "./language_model.ts";
import type { Network } from "./network.ts";

/** Rows of a pass over several continuations, which read the weights once together: as many as the smallest tiles of products on GPUs have. */
const MOST_ROWS = 64;

/** Rows of a continuation's pass: nothing is asked of the model behind the last token. */
const rowsOf = (ids: readonly number[]): number => ids.length - 1;

/** Rows behind a prompt that passes over these continuations take at most. */
export function rowsBehind(continuations: readonly (readonly number[])[]): number {
  const all = continuations.reduce((sum, ids) => sum + rowsOf(ids), 0);
  return Math.max(Math.min(MOST_ROWS, all), ...continuations.map(rowsOf));
}

/** Numbers of the continuations of each pass, of those with more than one token. */
export function continuationPasses(continuations: readonly (readonly number[])[], { prompts }: { prompts: number }): number[][] {
  const passes: number[][] = [];
  let rows = 0;
  continuations.forEach((ids, i) => {
    if (rowsOf(ids) < 1) return;
    rows += rowsOf(ids) * prompts;
    if (passes.length && rows <= MOST_ROWS) return void passes.at(-1)!.push(i);
    passes.push([i]);
    rows = rowsOf(ids) * prompts;
  });
  return passes;
}

/** Options of {@linkcode Continuations}. */
export interface ContinuationsOptions {
  /** Tokens of each continuation, 2 at least. */
  lengths: readonly number[];
  /** R */
  prompts: number;
  /** Rows of the head that count. */
  head: Matrix;
  /** A cache (C, 2·KV) per layer. */
  caches: readonly Tensor[];
}

/** The same given tokens behind each prompt, all in one pass: every continuation sees the prompt and itself, but no other. */
export class Continuations implements Disposable {
  /** What runs. */
  readonly plan: Plan;
  /** Sum of -log p of all tokens but the first, for each prompt and continuation (R · S). */
  readonly losses: Tensor;
  readonly #inputs;

  /** @param network the model */
  constructor(network: Network, { lengths, prompts, head, caches }: ContinuationsOptions) {
    const rows = prompts * lengths.reduce((sum, length) => sum + length - 1, 0);
    const sums = prompts * lengths.length;
    this.plan = new Plan(network.gpu, `continuations of ${rows} rows`);
    this.#inputs = inputBlock(this.plan, {
      positions: { shape: [rows, 3], dtype: "u32" },
      ranges: { shape: [rows, 2], dtype: "u32" },
      besides: { shape: [rows, 2], dtype: "u32" },
      cacheRows: { shape: [rows], dtype: "u32" },
      ids: { shape: [rows], dtype: "u32" },
      targets: { shape: [rows], dtype: "u32" },
      weights: { shape: [rows], dtype: "f32" },
      rowsOf: { shape: [sums, 2], dtype: "u32" },
    });
    const { ids, positions, ranges, besides, cacheRows, targets, weights, rowsOf } = this.#inputs.tensors;
    const x = embedRows(this.plan, { network, ids });
    const { hidden } = languageModel(this.plan, { network, x, rows: { positions, ranges, besides }, caches, cacheRows });
    const logits = answerLogits(this.plan, { hidden, head });
    const { nll } = crossEntropy(this.plan, { logits, targets, weights, vocabulary: head.rows });
    const out = this.plan.persistent([sums], { label: "scores" });
    this.losses = weightedSums(this.plan, { values: nll, weights, ranges: rowsOf, out });
  }

  /** @param continuations token ids, of the lengths that the plan is for */
  write(continuations: readonly (readonly number[])[], prompts: readonly PromptEnd[]): void {
    const none = (): number[] => [];
    const written = {
      ...{ positions: none(), ranges: none(), besides: none(), cacheRows: none() },
      ...{ ids: none(), targets: none(), rowsOf: none() },
    };
    for (const { first, start, position } of prompts) {
      let own = start;
      for (const ids of continuations) {
        const begin = written.ids.length;
        for (let i = 0; i < rowsOf(ids); i++) {
          written.positions.push(position + i, position + i, position + i);
          written.ranges.push(first, start);
          written.besides.push(own, own + i + 1);
          written.cacheRows.push(own + i);
          written.ids.push(ids[i]);
          written.targets.push(ids[i + 1]);
        }
        written.rowsOf.push(begin, written.ids.length);
        own += rowsOf(ids);
      }
    }
    this.#inputs.write({ ...written, weights: new Array(written.ids.length).fill(1) });
  }

  /** Frees the plan. */
  [Symbol.dispose](): void {
    this.plan[Symbol.dispose]();
  }
}
