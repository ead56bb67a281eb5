/**
 * The passes of generation, each a plan: the prompts, one further token of every sequence, and a guessed continuation of each.
 * Letters: R sequences, C rows of the cache.
 */
import { argMax } from "../../kernels/arg_max/arg_max.ts";
import { advanceGeneration, type GenerationState, generationState } from "../../kernels/generation_state/generation_state.ts";
import { guessTokens } from "../../kernels/guess_tokens/guess_tokens.ts";
import { type InputBlock, inputBlock, type InputSpec } from "../../kernels/input_block.ts";
import type { Matrix } from "../../kernels/linear/matrix.ts";
import { Plan } from "../../kernels/plan.ts";
import { PlanCache } from "../../kernels/plan_cache.ts";
import type { Tensor } from "../../kernels/tensor.ts";
import { answerLogits } from "./answer_loss.ts";
import { embedRows, languageModel, NO_ROW } from "./language_model.ts";
import type { Network } from "./network.ts";
import type { Prompt } from "./prompt.ts";
import type { HeadCaches } from "./prompt_head.ts";
import type { SequenceLayout } from "./sequence_layout.ts";

/** What the plans of one generation share. */
export interface GenerationPlanOptions {
  /** Rows of the head that count. */
  head: Matrix;
  /** Tokens that are generated at most. */
  maxNewTokens: number;
  /** Tensors (n, D) that fill rows of the prompts, by name. */
  sources?: Readonly<Record<string, Tensor>>;
  /** Sequences. */
  count: number;
  /** Keys and values of the head that all prompts share. */
  before: HeadCaches;
}

/** The prompts' pass. */
export class Prefill implements Disposable {
  /** What runs. */
  readonly plan: Plan;
  readonly #inputs: InputBlock<InputSpec>;
  readonly #sources: string[];

  /**
   * @param options rows: of the pass, a number that {@linkcode roundRows} gives; decoding: where the logits and the first new tokens go; slots:
   *   whether each prompt has its own head in the caches, and so its own place there
   */
  constructor(network: Network, options: GenerationPlanOptions & { rows: number; decoding: Decoding; slots: boolean }) {
    const { rows, count, before, head, sources = {}, decoding: { logits, state } } = options;
    this.#sources = Object.keys(sources);
    this.plan = new Plan(network.gpu, `prompts of ${rows} rows`);
    const inputs = inputBlock(this.plan, {
      ids: { shape: [rows], dtype: "u32" },
      positions: { shape: [rows, 3], dtype: "u32" },
      ranges: { shape: [rows, 2], dtype: "u32" },
      index: { shape: [count], dtype: "u32" },
      answerPositions: { shape: [count, 3], dtype: "u32" },
      answerRanges: { shape: [count, 2], dtype: "u32" },
      cacheRows: { shape: [rows], dtype: "u32" },
      ...Object.fromEntries(this.#sources.map((name) => [`source ${name}`, { shape: [rows], dtype: "u32" }])),
    } as InputSpec);
    this.#inputs = inputs;
    const t = inputs.tensors;
    const others = this.#sources.map((name) => ({ source: sources[name], index: t[`source ${name}`] }));
    const { hidden } = languageModel(this.plan, {
      network,
      x: embedRows(this.plan, { network, ids: t.ids, others }),
      rows: { positions: t.positions, ranges: t.ranges },
      answers: { index: t.index, positions: t.answerPositions, ranges: t.answerRanges },
      caches: before.caches,
      ...(options.slots ? { cacheRows: t.cacheRows } : { cacheStart: before.end }),
    });
    this.plan.copy(answerLogits(this.plan, { hidden, head }), logits);
    const next = argMax(this.plan, { logits, vocabulary: head.rows });
    advanceGeneration(this.plan, { next, state, storeOnly: true });
  }

  /** Writes what a run reads: ids, positions and ranges of the prompts as they were laid out. */
  write(prompts: readonly Prompt[], layout: SequenceLayout): void {
    const [rows] = this.#inputs.tensors.ids.shape;
    const values: Record<string, Uint32Array> = {
      ids: new Uint32Array(rows),
      positions: layout.positions,
      ranges: layout.ranges,
      index: layout.answers,
      answerPositions: layout.answerPositions,
      answerRanges: layout.answerRanges,
      cacheRows: layout.cacheRows,
    };
    for (const name of this.#sources) values[`source ${name}`] = new Uint32Array(rows).fill(NO_ROW);
    prompts.forEach(({ ids, rows: filled = {} }, r) => {
      values.ids.set(ids, layout.starts[r]);
      for (const name of this.#sources) if (filled[name]) values[`source ${name}`].set(filled[name], layout.starts[r]);
    });
    this.#inputs.write(values);
  }

  /** Frees the plan. */
  [Symbol.dispose](): void {
    this.plan[Symbol.dispose]();
  }
}

/** One further token of every sequence. */
export class Decoding implements Disposable {
  /** What runs; once per token. */
  readonly plan: Plan;
  /** Tokens and places of the sequences, on the GPU. */
  readonly state: GenerationState;
  /** Logits behind each prompt (R, head rows rounded up to a multiple of 4), which the prompts' passes of any number of rows leave here. */
  readonly logits: Tensor;
  readonly #network: Network;
  readonly #options: GenerationPlanOptions;
  readonly #guessings = new PlanCache<Guessing>(4);

  /** @param network the model */
  constructor(network: Network, options: GenerationPlanOptions) {
    const { count, before: { caches }, head, maxNewTokens } = options;
    this.#network = network;
    this.#options = options;
    this.plan = new Plan(network.gpu, `one token of ${count} sequences`);
    this.state = generationState(this.plan, { sequences: count, maxNewTokens });
    this.logits = this.plan.persistent([count, Math.ceil(head.rows / 4) * 4], { label: "logits" });
    const { ids, positions, ranges, cacheRow } = this.state;
    const { hidden } = languageModel(this.plan, {
      network,
      x: embedRows(this.plan, { network, ids }),
      rows: { positions, ranges },
      caches,
      cacheRows: cacheRow,
    });
    const next = argMax(this.plan, { logits: answerLogits(this.plan, { hidden, head }), vocabulary: head.rows });
    advanceGeneration(this.plan, { next, state: this.state });
  }

  /** The plan for guesses, so many with so many tokens each, behind the first new token. */
  guessing(guesses: number, rows: number): Guessing {
    return this.#guessings.get(
      `${guesses} ${rows}`,
      () => new Guessing(this.#network, { ...this.#options, guesses, rows, first: this.state.ids }),
    );
  }

  /**
   * Begins at the first new token.
   *
   * @param positions position of each sequence's first new token (R)
   * @param at lengths of the prompts in this pass, and their keys
   */
  write(positions: readonly number[], at: { lengths: readonly number[]; places: SequenceLayout["places"] }): void {
    const { lengths, places } = at;
    const { gpu } = this.plan;
    const rows = places.map(({ own }, r) => own + lengths[r]);
    gpu.write(this.state.positions, Uint32Array.from(positions.flatMap((p) => [p, p, p])));
    gpu.write(this.state.ranges, Uint32Array.from(rows.flatMap((row, r) => [places[r].first, row + 1])));
    gpu.write(this.state.cacheRow, Uint32Array.from(rows));
    gpu.write(this.state.step, Uint32Array.of(0));
  }

  /** Frees the plans. */
  [Symbol.dispose](): void {
    this.#guessings.clear();
    this.plan[Symbol.dispose]();
  }
}

/** Where a prompt goes on. */
export interface PromptEnd {
  /** First of its keys in the caches. */
  first: number;
  /** Row of the caches for the next token. */
  start: number;
  /** Position of the next token. */
  position: number;
}

/** Positions, keys and rows of the caches of `rows` tokens behind each prompt. */
function placesBehind(prompts: readonly PromptEnd[], rows: number): { positions: number[]; ranges: number[]; cacheRows: number[] } {
  const all = (values: (at: PromptEnd, i: number) => number[]) =>
    prompts.flatMap((at) => Array.from({ length: rows }, (_, i) => values(at, i)).flat());
  return {
    positions: all(({ position }, i) => [position + i, position + i, position + i]),
    ranges: all(({ first, start }, i) => [first, start + i + 1]),
    cacheRows: all(({ start }, i) => [start + i]),
  };
}

/** Inputs for what {@linkcode placesBehind} gives. */
const placeInputs = (rows: number) => ({
  positions: { shape: [rows, 3], dtype: "u32" },
  ranges: { shape: [rows, 2], dtype: "u32" },
  cacheRows: { shape: [rows], dtype: "u32" },
} as const);

/** What follows each prompt's first new token if it goes on as guessed: the weights are read once for all of it. */
export class Guessing implements Disposable {
  /** What runs, behind the prompts' pass. */
  readonly plan: Plan;
  /** The token behind each row (R · rows) u32: behind the first new token, and behind each guessed one. */
  readonly choices: Tensor;
  readonly #inputs;
  readonly #rows: number;

  /** @param options rows: tokens of a sequence, the first among them; guesses: how many there are; first: the first tokens (R) u32 */
  constructor(network: Network, options: GenerationPlanOptions & { rows: number; guesses: number; first: Tensor }) {
    const { rows, guesses, count, head, before: { caches }, first } = options;
    this.#rows = rows;
    this.plan = new Plan(network.gpu, `${rows} guessed rows of ${count} sequences`);
    this.#inputs = inputBlock(this.plan, { ...placeInputs(rows * count), guesses: { shape: [guesses, rows], dtype: "u32" } });
    const { positions, ranges, cacheRows, guesses: given } = this.#inputs.tensors;
    const x = embedRows(this.plan, { network, ids: guessTokens(this.plan, { first, guesses: given }) });
    const { hidden } = languageModel(this.plan, { network, x, rows: { positions, ranges }, caches, cacheRows });
    const out = this.plan.persistent([rows * count], { dtype: "u32", label: "tokens behind guessed ones" });
    this.choices = argMax(this.plan, { logits: answerLogits(this.plan, { hidden, head }), vocabulary: head.rows, out });
  }

  /** @param guesses as many as the plan is for */
  write(guesses: readonly (readonly number[])[], prompts: readonly PromptEnd[]): void {
    const filled = guesses.flatMap((ids) => Array.from({ length: this.#rows }, (_, i) => ids[i] ?? ids[0]));
    this.#inputs.write({ ...placesBehind(prompts, this.#rows), guesses: filled });
  }

  /** Frees the plan. */
  [Symbol.dispose](): void {
    this.plan[Symbol.dispose]();
  }
}
