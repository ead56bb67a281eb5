/**
 * Greedy generation with a cache of keys and values. The arg-max and the whole state stay on the GPU: the host waits once, at the end.
 */
import type { Matrix } from "../../kernels/linear/matrix.ts";
import { Plan } from "../../kernels/plan.ts";
import { PlanCache } from "../../kernels/plan_cache.ts";
import type { Tensor } from "../../kernels/tensor.ts";
import { continuationPasses, Continuations, rowsBehind } from "./continuations.ts";
import { Decoding, Prefill, type PromptEnd } from "./generation_plans.ts";
import { guessedAnswer } from "./guessed_answer.ts";
import { expectPositions, type Network } from "./network.ts";
import { promptPasses } from "./generation_passes.ts";
import type { Prompt } from "./prompt.ts";
import { commonHead, type HeadCaches, PromptHead, withoutHead } from "./prompt_head.ts";
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

/** Options of {@linkcode Generator.generate}. */
export interface GenerateOptions {
  /** Whether the logits behind the prompts are read, too. */
  logits?: boolean;
  /**
   * Looks after every few tokens whether all answers have come to an end, for long answers. Nothing else may be asked of the generator until these
   * are there.
   */
  untilEnd?: boolean;
}

/** Result of {@linkcode Generator.scoreAll} for a prompt. */
export interface Scored {
  /** Log-probability of each continuation. */
  scores: number[];
  /** The greedy answer, without the end token. */
  tokens: number[];
}

/** Plans of a kind that are kept. A pass over prompts writes into its decoding's tensors, so as many of these must be kept. */
const KEPT_PLANS = 16;
/** Tokens after which generation looks whether all answers have ended, where it does: waiting takes as long as a few tokens. */
const TOKENS_AT_ONCE = 8;

/** Generates answers, with a plan for the prompts per number of rows and one for a further token. */
export class Generator implements Disposable {
  readonly #network: Network;
  readonly #options: GeneratorOptions & { head: Matrix };
  readonly #prefills = new PlanCache<Prefill>(KEPT_PLANS);
  readonly #decodings = new PlanCache<Decoding>(KEPT_PLANS);
  readonly #continuations = new PlanCache<Continuations>(KEPT_PLANS);
  readonly #head: PromptHead;
  #generation = 0;

  /** @param network the model */
  constructor(network: Network, options: GeneratorOptions) {
    this.#network = network;
    this.#head = new PromptHead(network);
    this.#options = { ...options, head: options.head ?? network.weights.head };
  }

  /**
   * Greedy answers to prompts, all in one pass, or in as few as the adapter's buffers allow. All of it is submitted when this returns, but for what
   * the options say.
   */
  async generate(prompts: readonly Prompt[], options: GenerateOptions = {}): Promise<Generated> {
    const { untilEnd, logits: wanted } = options;
    const passes: Promise<Generated>[] = [];
    for (const pass of this.#passes(prompts, this.#options.maxNewTokens)) {
      passes.push(this.#generate(pass, options));
      if (untilEnd) await passes.at(-1);
    }
    const answers = await Promise.all(passes);
    const tokens = answers.flatMap(({ tokens }) => tokens);
    return wanted ? { tokens, logits: answers.flatMap(({ logits = [] }) => logits) } : { tokens };
  }

  async #generate(prompts: readonly Prompt[], options: GenerateOptions): Promise<Generated> {
    const { decoding } = this.#start(prompts);
    const { maxNewTokens: n, head } = this.#options;
    const atOnce = options.untilEnd ? TOKENS_AT_ONCE : n;
    let tokens: number[][];
    let logits: Uint8Array<ArrayBuffer> | undefined;
    let done = 1;
    do {
      for (const end = Math.min(n, done - done % atOnce + atOnce); done < end; done++) decoding.plan.run();
      const [generated, ...rest] = await this.#network.gpu.read(decoding.state.generated, ...(options.logits ? [decoding.logits] : []));
      const ids = new Uint32Array(generated.buffer);
      tokens = prompts.map((_, r) => [...ids.subarray(r * n, r * n + done)]);
      logits = rest[0];
    } while (done < n && !tokens.every((ids) => this.#untilEnd(ids).length < ids.length));
    tokens = tokens.map((ids) => this.#untilEnd(ids));
    if (!logits) return { tokens };
    const floats = new Float32Array(logits.buffer);
    const width = decoding.logits.shape[1];
    return { tokens, logits: prompts.map((_, r) => floats.slice(r * width, r * width + head.rows)) };
  }

  /**
   * Greedy answers, of which all tokens are tried in one pass as they are guessed from the first (speculative decoding), which costs as much as one
   * token. All of it is submitted when this returns.
   *
   * @param guesses answers (token ids) that are likely
   * @returns new tokens of each prompt, without the end token; undefined where it is answered otherwise than was guessed
   */
  async guess(prompts: readonly Prompt[], guesses: readonly (readonly number[])[]): Promise<(number[] | undefined)[]> {
    const passes = this.#passes(prompts, this.#options.maxNewTokens).map((pass) => this.#guess(pass, guesses));
    return (await Promise.all(passes)).flat();
  }

  async #guess(prompts: readonly Prompt[], guesses: readonly (readonly number[])[]): Promise<(number[] | undefined)[]> {
    const { maxNewTokens: n, eosIds } = this.#options;
    const rows = Math.min(n - 1, Math.max(...guesses.map((ids) => ids.length)));
    if (rows < 1) return (await this.#generate(prompts, {})).tokens;
    const { decoding, ends } = this.#start(prompts);
    const guessing = decoding.guessing(guesses.length, rows);
    guessing.write(guesses, ends);
    guessing.plan.run();
    const read = await this.#network.gpu.read(decoding.state.generated, guessing.choices);
    const [generated, choices] = read.map(({ buffer }) => new Uint32Array(buffer));
    return prompts.map((_, r) => {
      const behind = [...choices.subarray(r * rows, (r + 1) * rows)];
      const tokens = guessedAnswer({ first: generated[r * n], choices: behind, guesses, maxNewTokens: n, eosIds });
      return tokens && this.#untilEnd(tokens);
    });
  }

  /** The scores of one prompt; see {@linkcode scoreAll}. */
  async score(prompt: Prompt, continuations: readonly (readonly number[])[]): Promise<Scored> {
    return (await this.scoreAll([prompt], continuations))[0];
  }

  /**
   * Log-probability of continuations of prompts. The prompts are computed once, in one pass or as few as the adapter's buffers allow; the
   * continuations then go on from their keys and values, many of them at once. All of it is submitted when this returns.
   *
   * @param continuations token ids, at least one each
   * @returns one sum of log-probabilities per continuation, and the greedy answer, for each prompt
   */
  async scoreAll(prompts: readonly Prompt[], continuations: readonly (readonly number[])[]): Promise<Scored[]> {
    const reserve = Math.max(this.#options.maxNewTokens, rowsBehind(continuations));
    const passes = this.#passes(prompts, reserve).map((pass) => this.#scorePass(pass, { continuations, reserve }));
    return (await Promise.all(passes)).flat();
  }

  #passes(prompts: readonly Prompt[], reserve: number): Prompt[][] {
    return promptPasses(this.#network, prompts, { reserve, vocabulary: this.#options.head.rows });
  }

  async #scorePass(
    prompts: readonly Prompt[],
    { continuations, reserve }: { continuations: readonly (readonly number[])[]; reserve: number },
  ): Promise<Scored[]> {
    const { maxNewTokens, head } = this.#options;
    const { decoding, before: { caches }, ends } = this.#start(prompts, reserve);
    const { gpu } = this.#network;
    for (let i = 1; i < maxNewTokens; i++) decoding.plan.run();
    using sums = new Plan(gpu, "scores"); // holds the results until they are read together
    const passes = continuationPasses(continuations, { prompts: prompts.length }).map((numbers) => {
      const some = numbers.map((i) => continuations[i]);
      const shape = { lengths: some.map((ids) => ids.length), prompts: prompts.length };
      const plan = this.#continuations.get(JSON.stringify(shape), () => new Continuations(this.#network, { ...shape, head, caches }));
      plan.write(some, ends);
      const losses = sums.persistent(plan.losses.shape, { label: "scores" });
      gpu.run(plan.plan, { from: plan.losses, to: losses });
      return { numbers, losses };
    });
    const [logits, generated, ...rest] = await gpu.read(decoding.logits, decoding.state.generated, ...passes.map(({ losses }) => losses));
    const floats = new Float32Array(logits.buffer);
    const ids = new Uint32Array(generated.buffer);
    const width = decoding.logits.shape[1];
    return prompts.map((_, r) => {
      const first = logSoftmax(floats.subarray(r * width, r * width + head.rows));
      const scores = continuations.map(([id]) => first[id]);
      passes.forEach(({ numbers }, p) => {
        const losses = new Float32Array(rest[p].buffer);
        numbers.forEach((i, s) => scores[i] -= losses[r * numbers.length + s]);
      });
      return { scores, tokens: this.#untilEnd([...ids.subarray(r * maxNewTokens, (r + 1) * maxNewTokens)]) };
    });
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
  #start(whole: readonly Prompt[], reserve = this.#options.maxNewTokens): Started {
    const head = whole.some(({ positions }) => positions) ? [] : commonHead(whole);
    const prompts = whole.map((prompt) => withoutHead(prompt, head.length));
    const count = prompts.length;
    const slots = count > 1 && head.length > 0; // several prompts lie behind a head each
    const reserved = count > 1 && !slots ? reserve : 0; // a prompt alone, or in a slot, has room behind it in the caches
    const segments = prompts.map(({ ids, positions }) => ({ length: ids.length, positions, answers: [ids.length - 1], reserve: reserved }));
    const rows = roundRows(totalRows(segments));
    const longest = Math.max(...prompts.map(({ ids }) => ids.length));
    const before = this.#head.prepare(head, slots ? longest + reserve + 1 : rows + reserve - reserved, { slots: slots ? count : 1 });
    if (before.generation !== this.#generation) {
      for (const plans of [this.#continuations, this.#prefills, this.#decodings]) plans.clear();
      this.#generation = before.generation;
    }
    const shared = { ...this.#options, count, before };
    const decoding = this.#decodings.get(`${count}`, () => new Decoding(this.#network, shared));
    const prefill = this.#prefills.get(`${rows} ${count} ${slots}`, () => new Prefill(this.#network, { ...shared, rows, decoding, slots }));
    const { first, end, stride } = before;
    const keys = slots ? before.slots * stride : undefined;
    const layout = layoutSequences(segments, { rows, answers: count, keys, before: { first, end, ...(slots && { stride }) } });
    prefill.write(prompts, layout);
    const positions = whole.map(nextPosition);
    expectPositions(this.#network, Math.max(...positions) + reserve);
    const lengths = prompts.map(({ ids }) => ids.length);
    decoding.write(positions, { lengths, places: layout.places });
    prefill.plan.run();
    const ends = layout.places.map(({ first, own }, r) => ({ first, start: own + lengths[r], position: positions[r] }));
    return { decoding, before, ends };
  }
}

/** A pass that was begun. */
interface Started {
  decoding: Decoding;
  before: HeadCaches;
  /** Where each prompt goes on. */
  ends: PromptEnd[];
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
