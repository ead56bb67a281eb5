/**
 * One pass of training through the frozen language model: embeddings, layers, loss of the answer, and the gradient of the rows that train.
 * Letters: S sequences, T rows of the pass, A answer rows, L tokens of a sequence, D hidden.
 */
import { argMax } from "../../kernels/arg_max/arg_max.ts";
import { type InputBlock, inputBlock, type InputSpec } from "../../kernels/input_block.ts";
import { columnSlice, linearWeightGradient } from "../../kernels/linear/linear.ts";
import type { Matrix } from "../../kernels/linear/matrix.ts";
import { Plan } from "../../kernels/plan.ts";
import { scatterAddRows } from "../../kernels/rows/rows.ts";
import type { Tensor } from "../../kernels/tensor.ts";
import { weightedSums } from "../../kernels/weighted_sums/weighted_sums.ts";
import { answerLoss } from "../qwen2_vl/answer_loss.ts";
import type { Prompt } from "../qwen2_vl/prompt.ts";
import { embedRows, languageModel, languageModelBackward, NO_ROW } from "../qwen2_vl/language_model.ts";
import { expectPositions, type Network } from "../qwen2_vl/network.ts";
import { type HeadCaches, withoutHead } from "../qwen2_vl/prompt_head.ts";
import { type KeysBefore, layoutSequences, roundAnswers, roundRows, totalRows } from "../qwen2_vl/sequence_layout.ts";

/** A sequence with its answer, and its part of the loss. */
export interface TrainingSequence extends Prompt {
  /** Positions [start, end) of the labels. */
  answer: readonly [start: number, end: number];
  /** Weight of the sequence's mean loss. */
  weight: number;
}

/** Where the gradient of a source's rows goes. */
export interface SourceGradient {
  /** (n, D) */
  out: Tensor;
  /** Added to what is there, or assigned. */
  add: boolean;
}

/** Options of {@linkcode TrainingPass}. */
export interface TrainingPassOptions {
  /** T */
  rows: number;
  /** A */
  answers: number;
  /** S, at most. */
  sequences: number;
  /** Rows of the head that count. */
  head: Matrix;
  /** Tensors (n, D) that fill rows of the sequences, by name. */
  sources: Readonly<Record<string, Tensor>>;
  /** Gradients of the sources that train, by their names; without any there is no backward pass. */
  gradients: Readonly<Record<string, SourceGradient>>;
  /** Rows of the head that train as well, since the head is tied to the embedding: the first one, and where their gradient is added. */
  headGradient?: { start: number; out: Tensor };
  /** Compute each layer again in the backward pass instead of keeping what it computed. */
  recompute?: boolean;
  /** Keys and values of the tokens that every sequence begins with; the passes are then of sequences without these. */
  promptHead?: HeadCaches;
}

/** A training sequence without its first tokens. */
export function withoutFirst(sequence: TrainingSequence, tokens: number): TrainingSequence {
  const { answer: [start, end], weight } = sequence;
  return { ...withoutHead(sequence, tokens), weight, answer: [start - tokens, end - tokens] };
}

/** Sizes of a pass of several sequences are multiples of these, so that the many sums of their lengths give few shapes of plans. */
const SEVERAL = { rows: 32, answers: 8 };

/** Sizes of the pass that sequences need. */
export function passSize(sequences: readonly TrainingSequence[]): { rows: number; answers: number; sequences: number } {
  const rows = totalRows(sequences.map(({ ids }) => ({ length: ids.length, answers: [] })));
  const answers = sequences.reduce((sum, { answer: [start, end] }) => sum + end - start, 0);
  const count = sequences.length;
  if (count < 2) return { rows: roundRows(rows), answers: roundAnswers(answers), sequences: count };
  const up = (value: number, step: number) => Math.ceil(value / step) * step;
  return { rows: roundRows(up(rows, SEVERAL.rows)), answers: up(answers, SEVERAL.answers), sequences: count };
}

/** A recorded pass; see the module's text. */
export class TrainingPass implements Disposable {
  /** The recorded dispatches. */
  readonly plan: Plan;
  /** Weighted sum of the sequences' losses (1). */
  readonly loss: Tensor;
  /** Weighted loss of each sequence (S). */
  readonly losses: Tensor;
  /** -log p of every answer row (A). */
  readonly nll: Tensor;
  /** Most probable token of every answer row (A) u32; computed where there is no backward pass. */
  readonly choices: Tensor;
  readonly #network: Network;
  readonly #inputs: InputBlock<InputSpec>;
  readonly #sources: readonly string[];
  readonly #size: { rows: number; answers: number; sequences: number; keys: number; before?: KeysBefore };

  /** Records the pass. */
  constructor(network: Network, options: TrainingPassOptions) {
    const { rows, answers, sequences, head, sources, gradients, headGradient, recompute, promptHead } = options;
    this.#sources = Object.keys(sources);
    const slots = promptHead && sequences > 1 ? sequences : undefined; // each sequence's keys lie behind a head of its own
    const keys = slots ? slots * promptHead!.stride : rows + (promptHead?.end ?? 0);
    const before = promptHead && { first: promptHead.first, end: promptHead.end, ...(slots && { stride: promptHead.stride }) };
    this.#size = { rows, answers, sequences, keys, before };
    this.#network = network;
    const plan = this.plan = new Plan(network.gpu, `training pass of ${rows} rows, ${answers} answers`);
    const inputs = this.#inputs = inputBlock(plan, {
      ids: { shape: [rows], dtype: "u32" },
      positions: { shape: [rows, 3], dtype: "u32" },
      ranges: { shape: [rows, 2], dtype: "u32" },
      keyRanges: { shape: [keys, 2], dtype: "u32" },
      index: { shape: [answers], dtype: "u32" },
      answerPositions: { shape: [answers, 3], dtype: "u32" },
      answerRanges: { shape: [answers, 2], dtype: "u32" },
      answerKeyRanges: { shape: [keys, 2], dtype: "u32" },
      targets: { shape: [answers], dtype: "u32" },
      weights: { shape: [answers], dtype: "f32" },
      answersOf: { shape: [sequences, 2], dtype: "u32" },
      cacheRows: { shape: [rows], dtype: "u32" },
      ...Object.fromEntries(this.#sources.map((name) => [`source ${name}`, { shape: [rows], dtype: "u32" }])),
    } as InputSpec);
    const t = inputs.tensors;
    this.loss = plan.persistent([1], { label: "loss" });
    this.nll = plan.persistent([answers], { label: "negative log-likelihood" });
    const others = this.#sources.map((name) => ({ source: sources[name], index: t[`source ${name}`] }));
    const { hidden, trace } = languageModel(plan, {
      network,
      x: embedRows(plan, { network, ids: t.ids, others }),
      rows: { positions: t.positions, ranges: t.ranges, keyRanges: t.keyRanges },
      answers: { index: t.index, positions: t.answerPositions, ranges: t.answerRanges, keyRanges: t.answerKeyRanges },
      caches: promptHead?.caches.map((cache) => cache.view([keys, cache.shape[1]])),
      ...(slots ? { cacheRows: t.cacheRows } : { cacheStart: promptHead?.end }),
    });
    const { logits, dlogits, dhidden } = answerLoss(plan, {
      hidden,
      head,
      targets: t.targets,
      weights: t.weights,
      loss: this.loss,
      nll: this.nll,
    });
    this.losses = weightedSums(plan, {
      values: this.nll,
      weights: t.weights,
      ranges: t.answersOf,
      out: plan.persistent([sequences], { label: "losses" }),
    });
    this.choices = plan.persistent([answers], { dtype: "u32", label: "most probable tokens" });
    if (Object.keys(gradients).length === 0) {
      argMax(plan, { logits, vocabulary: head.rows, out: this.choices });
      return;
    }
    if (headGradient) {
      const { start, out } = headGradient;
      const dy = columnSlice(plan, { from: dlogits, start, columns: out.shape[0], exact: true });
      linearWeightGradient(plan, { dy, x: hidden, dweight: out });
    }
    const dx = languageModelBackward(plan, { network, dhidden, trace, recompute });
    for (const [name, { out, add }] of Object.entries(gradients)) scatterAddRows(plan, { dy: dx, index: t[`source ${name}`], out, add });
  }

  /** Writes the sequences that the next run computes. */
  write(sequences: readonly TrainingSequence[]): void {
    const { rows, answers } = this.#size;
    if (sequences.length > this.#size.sequences) {
      throw new Error(`${this.plan.label}: ${sequences.length} sequences; at most ${this.#size.sequences}`);
    }
    const segments = sequences.map(({ ids, positions, answer: [start, end] }) => ({
      length: ids.length,
      positions,
      answers: Array.from({ length: end - start }, (_, i) => start - 1 + i), // a token is predicted from the row before it
    }));
    const layout = layoutSequences(segments, this.#size);
    expectPositions(this.#network, 1 + layout.positions.reduce((most, position) => Math.max(most, position), 0));
    const values: Record<string, Uint32Array | Float32Array> = {
      ids: new Uint32Array(rows),
      positions: layout.positions,
      ranges: layout.ranges,
      keyRanges: layout.keyRanges,
      index: layout.answers,
      answerPositions: layout.answerPositions,
      answerRanges: layout.answerRanges,
      answerKeyRanges: layout.answerKeyRanges,
      targets: new Uint32Array(answers),
      weights: new Float32Array(answers),
      answersOf: new Uint32Array(2 * this.#size.sequences),
      cacheRows: layout.cacheRows,
    };
    for (const name of this.#sources) values[`source ${name}`] = new Uint32Array(rows).fill(NO_ROW);
    let at = 0;
    sequences.forEach(({ ids, rows: filled = {}, answer: [start, end], weight }, s) => {
      values.ids.set(ids, layout.starts[s]);
      for (const name in filled) if (this.#sources.includes(name)) values[`source ${name}`].set(filled[name], layout.starts[s]);
      values.answersOf.set([at, at + end - start], 2 * s);
      for (let i = start; i < end; i++, at++) {
        values.targets[at] = ids[i];
        values.weights[at] = weight / (end - start);
      }
    });
    this.#inputs.write(values);
  }

  /** Frees the pass. */
  [Symbol.dispose](): void {
    this.plan[Symbol.dispose]();
  }
}
