/**
 * Greedy generation with a cache of keys and values. The arg-max and the whole state stay on the GPU: the host waits once, at the end.
 */
import type { Matrix } from "../../kernels/linear/matrix.ts";
import { Plan } from "../../kernels/plan.ts";
import { PlanCache } from "../../kernels/plan_cache.ts";
import type { Tensor } from "../../kernels/tensor.ts";
import { Continuation, Decoding, Prefill } from "./generation_plans.ts";
import type { Network } from "./network.ts";
import type { Prompt } from "./prompt.ts";
import { type HeadCaches, headOf, PromptHead, withoutHead } from "./prompt_head.ts";
import { layoutSequences, roundRows, totalRows } from "./sequence_layout.ts";

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
    const { first, end } = before; // of one prompt alone: several lie behind each other, without a kept head
    const layout = layoutSequences(segments, { rows, answers: count, before: { first, end } });
    prefill.write(prompts, layout);
    decoding.write(whole.map(nextPosition), { lengths: prompts.map(({ ids }) => ids.length), starts: layout.starts, before });
    prefill.plan.run();
    return { prefill, decoding, before };
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
