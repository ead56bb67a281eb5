/**
 * Greedy generation with a cache of keys and values. The arg-max and the whole state stay on the GPU: the host waits once, at the end.
 * Letters: T rows of the prompts' pass, R sequences, C rows of the cache.
 */
import { argMax } from "../../kernels/arg_max/arg_max.ts";
import { crossEntropy } from "../../kernels/cross_entropy/cross_entropy.ts";
import { advanceGeneration, type GenerationState, generationState } from "../../kernels/generation_state/generation_state.ts";
import { type InputBlock, inputBlock, type InputSpec } from "../../kernels/input_block.ts";
import type { Matrix } from "../../kernels/linear/matrix.ts";
import { Plan } from "../../kernels/plan.ts";
import { PlanCache } from "../../kernels/plan_cache.ts";
import type { Tensor } from "../../kernels/tensor.ts";
import { answerLogits } from "./answer_loss.ts";
import { embedRows, languageModel, NO_ROW } from "./language_model.ts";
import type { Network } from "./network.ts";
import { type HeadCaches, headOf, PromptHead, withoutHead } from "./prompt_head.ts";
import { type KeysBefore, layoutSequences, roundRows, type SequenceLayout, totalRows } from "./sequence_layout.ts";

/** One prompt. */
export interface Prompt {
  /** Token ids (L); any id where another source fills the row. */
  ids: ArrayLike<number>;
  /** Rows of other sources by their names (L), `NO_ROW` where they fill none. */
  rows?: Readonly<Record<string, ArrayLike<number>>>;
  /** Positions (L, 3); 0, 1, 2, … when left out. */
  positions?: ArrayLike<number>;
}

/** Options of {@linkcode Generator}. */
export interface GeneratorOptions {
  /** Tokens that are generated at most. */
  maxNewTokens: number;
  /** Rows of the head that count; the whole head when left out. */
  head?: Matrix;
  /** Tensors (n, D) that fill rows of the prompts, by name. They stay the same tensors; what they hold may change. */
  sources?: Readonly<Record<string, Tensor>>;
  /** Ids that end an answer. */
  eosIds: readonly number[];
}

/** Answers of {@linkcode Generator.generate}. */
export interface Generated {
  /** New tokens of each prompt, without the end token. */
  tokens: number[][];
  /** Logits behind each prompt (V), when asked for. */
  logits?: Float32Array[];
}

/** Generates answers, with a plan for the prompts per number of rows and one for a further token. */
export class Generator implements Disposable {
  readonly #network: Network;
  readonly #options: GeneratorOptions & { head: Matrix };
  readonly #prefills = new PlanCache<Prefill>(32);
  readonly #decodings = new PlanCache<Decoding>(8);
  readonly #continuations = new PlanCache<Continuation>(16);
  readonly #head: PromptHead;
  #generation = 0;

  /** @param network the model */
  constructor(network: Network, options: GeneratorOptions) {
    this.#network = network;
    this.#head = new PromptHead(network);
    this.#options = { ...options, head: options.head ?? network.weights.head };
  }

  /**
   * Greedy answers to prompts, all in one pass.
   *
   * @param options whether the logits behind the prompts are read as well
   */
  async generate(prompts: readonly Prompt[], options: { logits?: boolean } = {}): Promise<Generated> {
    const { prefill, decoding } = this.#start(prompts);
    const { maxNewTokens: n, head } = this.#options;
    for (let i = 1; i < n; i++) decoding.plan.run();
    const [generated, logits] = await this.#network.gpu.read(decoding.state.generated, ...(options.logits ? [prefill.logits] : []));
    const ids = new Uint32Array(generated.buffer);
    const tokens = prompts.map((_, r) => this.#untilEnd([...ids.subarray(r * n, (r + 1) * n)]));
    if (!options.logits) return { tokens };
    const floats = new Float32Array(logits.buffer);
    const width = prefill.logits.shape[1];
    return { tokens, logits: prompts.map((_, r) => floats.slice(r * width, r * width + head.rows)) };
  }

  /**
   * Log-probability of continuations of a prompt. The prompt is computed once; each continuation then goes on from its keys and values.
   *
   * @param continuations token ids, at least one each
   * @returns one sum of log-probabilities per continuation, and the greedy answer
   */
  async score(prompt: Prompt, continuations: readonly (readonly number[])[]): Promise<{ scores: number[]; tokens: number[] }> {
    const longest = Math.max(this.#options.maxNewTokens, ...continuations.map((ids) => ids.length));
    const { prefill, decoding, before } = this.#start([prompt], longest);
    const { gpu } = this.#network;
    const { maxNewTokens, head } = this.#options;
    for (let i = 1; i < maxNewTokens; i++) decoding.plan.run();
    using sums = new Plan(gpu, "scores"); // holds the results until they are read together
    const results = continuations.map((ids) => {
      if (ids.length < 2) return undefined;
      const rows = ids.length - 1;
      const plan = this.#continuations.get(`${rows}`, () => new Continuation(this.#network, { rows, head, caches: before.caches }));
      plan.write(ids, {
        first: before.first,
        start: before.end + prompt.ids.length - (before.end - before.first),
        position: nextPosition(prompt),
      });
      const result = sums.persistent([1], { label: "score" });
      gpu.run(plan.plan, { from: plan.loss, to: result });
      return result;
    });
    const kept = results.filter((result) => result !== undefined);
    const [logits, generated, ...rest] = await gpu.read(prefill.logits, decoding.state.generated, ...kept);
    const first = logSoftmax(new Float32Array(logits.buffer).subarray(0, head.rows));
    const tails = rest.map((bytes) => -new Float32Array(bytes.buffer)[0]);
    let next = 0;
    const scores = continuations.map((ids, i) => first[ids[0]] + (results[i] ? tails[next++] : 0));
    return { scores, tokens: this.#untilEnd([...new Uint32Array(generated.buffer)]) };
  }

  /** Frees plans and caches. */
  [Symbol.dispose](): void {
    this.#continuations.clear();
    this.#prefills.clear();
    this.#decodings.clear();
    this.#head[Symbol.dispose]();
  }

  #untilEnd(ids: number[]): number[] {
    const end = ids.findIndex((id) => this.#options.eosIds.includes(id));
    return end < 0 ? ids : ids.slice(0, end);
  }

  /** Runs the prompts' pass, which leaves the first token in the state. */
  #start(whole: readonly Prompt[], reserve = this.#options.maxNewTokens): { prefill: Prefill; decoding: Decoding; before: HeadCaches } {
    const head = whole.length === 1 && !whole[0].positions ? headOf(whole[0].ids) : [];
    const prompts = whole.map((prompt) => withoutHead(prompt, head.length));
    const segments = prompts.map(({ ids, positions }) => ({ length: ids.length, positions, answers: [ids.length - 1], reserve }));
    const count = prompts.length;
    const rows = roundRows(totalRows(segments));
    const before = this.#head.prepare(head, rows);
    if (before.generation !== this.#generation) {
      for (const plans of [this.#continuations, this.#prefills, this.#decodings]) plans.clear();
      this.#generation = before.generation;
    }
    const shared = { ...this.#options, count, before };
    const decoding = this.#decodings.get(`${count}`, () => new Decoding(this.#network, shared));
    const prefill = this.#prefills.get(`${rows} ${count}`, () => new Prefill(this.#network, { ...shared, rows, state: decoding.state }));
    const layout = layoutSequences(segments, { rows, answers: count, before });
    prefill.write(prompts, layout);
    decoding.write(whole.map(nextPosition), { lengths: prompts.map(({ ids }) => ids.length), starts: layout.starts, before });
    prefill.plan.run();
    return { prefill, decoding, before };
  }
}

interface Shared extends GeneratorOptions {
  head: Matrix;
  count: number;
  before: HeadCaches;
}

/** The prompts' pass. */
class Prefill implements Disposable {
  readonly plan: Plan;
  readonly logits: Tensor;
  readonly #inputs: InputBlock<InputSpec>;
  readonly #sources: string[];

  constructor(network: Network, options: Shared & { rows: number; state: GenerationState }) {
    const { rows, count, before, head, sources = {}, state } = options;
    this.#sources = Object.keys(sources);
    this.plan = new Plan(network.gpu, `prompts of ${rows} rows`);
    const inputs = inputBlock(this.plan, {
      ids: { shape: [rows], dtype: "u32" },
      positions: { shape: [rows, 3], dtype: "u32" },
      ranges: { shape: [rows, 2], dtype: "u32" },
      index: { shape: [count], dtype: "u32" },
      answerPositions: { shape: [count, 3], dtype: "u32" },
      answerRanges: { shape: [count, 2], dtype: "u32" },
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
      cacheStart: before.end,
    });
    this.logits = this.plan.persistent([count, Math.ceil(head.rows / 4) * 4], { label: "logits" });
    this.plan.copy(answerLogits(this.plan, { hidden, head }), this.logits);
    const next = argMax(this.plan, { logits: this.logits, vocabulary: head.rows });
    advanceGeneration(this.plan, { next, state, storeOnly: true });
  }

  write(prompts: readonly Prompt[], layout: SequenceLayout): void {
    const [rows] = this.#inputs.tensors.ids.shape;
    const values: Record<string, Uint32Array> = {
      ids: new Uint32Array(rows),
      positions: layout.positions,
      ranges: layout.ranges,
      index: layout.answers,
      answerPositions: layout.answerPositions,
      answerRanges: layout.answerRanges,
    };
    for (const name of this.#sources) values[`source ${name}`] = new Uint32Array(rows).fill(NO_ROW);
    prompts.forEach(({ ids, rows: filled = {} }, r) => {
      values.ids.set(ids, layout.starts[r]);
      for (const name of this.#sources) if (filled[name]) values[`source ${name}`].set(filled[name], layout.starts[r]);
    });
    this.#inputs.write(values);
  }

  [Symbol.dispose](): void {
    this.plan[Symbol.dispose]();
  }
}

/** One further token of every sequence. */
class Decoding implements Disposable {
  readonly plan: Plan;
  readonly state: GenerationState;

  constructor(network: Network, options: Shared) {
    const { count, before: { caches }, head, maxNewTokens } = options;
    this.plan = new Plan(network.gpu, `one token of ${count} sequences`);
    this.state = generationState(this.plan, { sequences: count, maxNewTokens });
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

  /** @param positions position of each sequence's first new token; @param at where the sequences lie in the caches */
  write(positions: readonly number[], at: { lengths: readonly number[]; starts: readonly number[]; before: KeysBefore }): void {
    const { lengths, starts, before } = at;
    const { gpu } = this.plan;
    const rows = starts.map((start, r) => before.end + start + lengths[r]);
    const first = (r: number) => before.end ? before.first : starts[r];
    gpu.write(this.state.positions, Uint32Array.from(positions.flatMap((p) => [p, p, p])));
    gpu.write(this.state.ranges, Uint32Array.from(rows.flatMap((row, r) => [first(r), row + 1])));
    gpu.write(this.state.cacheRow, Uint32Array.from(rows));
    gpu.write(this.state.step, Uint32Array.of(0));
  }

  [Symbol.dispose](): void {
    this.plan[Symbol.dispose]();
  }
}

/** Tokens behind a single prompt whose keys and values are in the caches' first rows. */
class Continuation implements Disposable {
  readonly plan: Plan;
  /** Sum of -log p of all tokens but the first (1). */
  readonly loss: Tensor;
  readonly #inputs;
  readonly #rows: number;

  constructor(network: Network, options: { rows: number; head: Matrix; caches: readonly Tensor[] }) {
    const { rows, head, caches } = options;
    this.#rows = rows;
    this.plan = new Plan(network.gpu, `continuation of ${rows} rows`);
    this.#inputs = inputBlock(this.plan, {
      ids: { shape: [rows], dtype: "u32" },
      positions: { shape: [rows, 3], dtype: "u32" },
      ranges: { shape: [rows, 2], dtype: "u32" },
      cacheRows: { shape: [rows], dtype: "u32" },
      targets: { shape: [rows], dtype: "u32" },
      weights: { shape: [rows], dtype: "f32" },
    });
    const { ids, positions, ranges, cacheRows, targets, weights } = this.#inputs.tensors;
    const x = embedRows(this.plan, { network, ids });
    const { hidden } = languageModel(this.plan, { network, x, rows: { positions, ranges }, caches, cacheRows });
    this.loss = this.plan.persistent([1], { label: "score" });
    const logits = answerLogits(this.plan, { hidden, head });
    crossEntropy(this.plan, { logits, targets, weights, vocabulary: head.rows, loss: this.loss });
  }

  write(ids: readonly number[], at: { first: number; start: number; position: number }): void {
    const rows = Array.from({ length: this.#rows }, (_, i) => i);
    this.#inputs.write({
      ids: ids.slice(0, -1),
      positions: rows.flatMap((i) => [at.position + i, at.position + i, at.position + i]),
      ranges: rows.flatMap((i) => [at.first, at.start + i + 1]),
      cacheRows: rows.map((i) => at.start + i),
      targets: ids.slice(1),
      weights: rows.map(() => 1),
    });
  }

  [Symbol.dispose](): void {
    this.plan[Symbol.dispose]();
  }
}

/** Position of the token behind a prompt: one more than the largest. */
function nextPosition({ ids, positions }: Prompt): number {
  if (!positions) return ids.length;
  let largest = 0;
  for (let i = 0; i < positions.length; i++) largest = Math.max(largest, positions[i]);
  return largest + 1;
}

function logSoftmax(logits: Float32Array): Float64Array {
  const largest = logits.reduce((a, b) => Math.max(a, b), -Infinity);
  const log = largest + Math.log(logits.reduce((sum, x) => sum + Math.exp(x - largest), 0));
  return Float64Array.from(logits, (x) => x - log);
}
