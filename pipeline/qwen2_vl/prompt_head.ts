/**
 * The constant head of all prompts ("<|im_start|>system … <|im_start|>user"): its keys and values are computed once, and no gradient goes
 * there, since it stands before everything that trains. Letters: H tokens of the head, C rows of the caches, KV = kvHeads · headDim.
 */
import { Plan } from "../../kernels/plan.ts";
import type { Tensor } from "../../kernels/tensor.ts";
import type { Prompt } from "./prompt.ts";
import { embedRows, languageModel, NO_ROW } from "./language_model.ts";
import { expectPositions, type Network } from "./network.ts";
import { layoutSequences } from "./sequence_layout.ts";

/** Caches that begin with a head's keys and values. */
export interface HeadCaches {
  /** Keys and values of each layer (C, 2·KV), C at least stride · slots. */
  readonly caches: readonly Tensor[];
  /** Row of the head's first token. */
  readonly first: number;
  /** Row behind its last token: where a sequence goes on. */
  readonly end: number;
  /** Rows from one sequence's head to the next one's. */
  readonly stride: number;
  /** Sequences that have a head each. */
  readonly slots: number;
  /**
   * Changes when the caches were replaced or the head takes other rows: a part of the key of plans that use them. Plans of several slots that
   * depend on the stride have it in their key, too.
   */
  readonly generation: number;
}

/** Tokens before the first row that no vocabulary fills: they stand before everything that trains, and are the same in all chats. */
export function headOf(ids: ArrayLike<number>): number[] {
  const tokens = Array.from(ids);
  const end = tokens.indexOf(NO_ROW);
  return tokens.slice(0, end < 0 ? 0 : end);
}

/** The head that all of several prompts begin with. */
export function commonHead(prompts: readonly { ids: ArrayLike<number> }[]): number[] {
  const [first = [], ...others] = prompts.map(({ ids }) => headOf(ids));
  const differs = (i: number) => others.some((head) => head[i] !== first[i]);
  const end = first.findIndex((_, i) => differs(i));
  return end < 0 ? first : first.slice(0, end);
}

/** A prompt without its first tokens (and without positions, which go on behind the head's). */
export function withoutHead(prompt: Prompt, tokens: number): Prompt {
  if (tokens === 0) return prompt;
  const cut = (values: ArrayLike<number>) => Uint32Array.from(values).subarray(tokens);
  const rows = Object.fromEntries(Object.entries(prompt.rows ?? {}).map(([name, index]) => [name, cut(index)]));
  return { ids: cut(prompt.ids), rows };
}

/** Bytes at whose multiples a tensor may be bound. */
const ALIGNMENT = 256;

/** Computes heads and keeps the caches of the latest one. They are as large as the largest pass so far needs, and replaced when too small. */
export class PromptHead implements Disposable {
  readonly #network: Network;
  #caches: Tensor[] = [];
  /** The head that the first slot holds. */
  #ids?: string;
  #first = 0;
  #end = 0;
  #stride = 0;
  /** Rows of each cache. */
  #rows = 0;
  /** Slots that hold the head. */
  #filled = 0;
  #generation = 0;

  /** @param network the model */
  constructor(network: Network) {
    this.#network = network;
  }

  /**
   * Caches that hold the head, with room for that many rows behind it. What a pass wrote behind the head may be gone afterwards.
   *
   * @param ids the head's tokens (H)
   * @param options sequences that need a head each, with as many rows; one when left out
   * @throws {GpuError} when the memory is used up
   */
  prepare(ids: ArrayLike<number>, rows: number, options: { slots?: number } = {}): HeadCaches {
    const key = Array.from(ids).join(" ");
    const { slots = 1 } = options;
    const end = alignedRows(this.#network, ids.length);
    const first = end - ids.length;
    const fits = end + rows <= this.#stride && slots * this.#stride <= this.#rows;
    const stride = fits ? this.#stride : slotRows(end + rows);
    const larger = slots * stride > this.#rows;
    if (larger || end !== this.#end || first !== this.#first) this.#generation++;
    if (larger || key !== this.#ids) this.#ids = undefined; // nothing counts as made until everything is
    if (larger) this.#replace(slots * stride);
    if (stride !== this.#stride || this.#ids === undefined) this.#filled = 0;
    [this.#first, this.#end, this.#stride] = [first, end, stride];
    if (this.#ids === undefined && ids.length) this.#compute(Uint32Array.from(ids));
    this.#ids = key;
    if (slots > this.#filled) this.#repeat(slots);
    return { caches: this.#caches, first, end, stride, slots, generation: this.#generation };
  }

  /** Frees the caches. */
  [Symbol.dispose](): void {
    this.#network.gpu.destroy(...this.#caches);
    this.#caches = []; // who holds the former ones sees that they are gone
    this.#rows = 0;
  }

  /** Caches of so many rows in place of those that are too small. */
  #replace(rows: number): void {
    const { gpu, config: { text } } = this.#network;
    this[Symbol.dispose]();
    for (let i = 0; i < text.layers; i++) {
      this.#caches.push(gpu.tensor([rows, 2 * text.kvHeads * text.headDim], { label: `keys and values of layer ${i}` }));
    }
    this.#rows = rows;
  }

  /** The head's rows stand at the end of the aligned part; rows before them are never looked at. */
  #compute(head: Uint32Array): void {
    const network = this.#network;
    const rows = this.#end;
    const before = this.#first;
    expectPositions(network, head.length);
    using plan = new Plan(network.gpu, "head of the prompts");
    const input = (shape: number[], data: ArrayLike<number>) => plan.persistent(shape, { dtype: "u32", data: Uint32Array.from(data) });
    const layout = layoutSequences([{ length: head.length, answers: [head.length - 1] }], { rows: head.length, answers: 1 });
    const shifted = (ranges: Uint32Array) => ranges.map((key) => key + before);
    const ids = new Uint32Array(rows);
    ids.set(head, before);
    const positions = new Uint32Array(3 * rows);
    positions.set(layout.positions, 3 * before);
    const ranges = new Uint32Array(2 * rows);
    ranges.set(shifted(layout.ranges), 2 * before);
    languageModel(plan, {
      network,
      x: embedRows(plan, { network, ids: input([rows], ids) }),
      rows: { positions: input([rows, 3], positions), ranges: input([rows, 2], ranges) },
      answers: {
        index: input([1], [rows - 1]),
        positions: input([1, 3], layout.answerPositions),
        ranges: input([1, 2], shifted(layout.answerRanges)),
      },
      caches: this.#caches,
    });
    plan.run();
  }

  /** The first slot's head for all slots: by way of scratch memory, since a buffer cannot be copied to itself. */
  #repeat(slots: number): void {
    if (this.#end > 0 && slots > 1) {
      using plan = new Plan(this.#network.gpu, "head of the prompts for every slot");
      for (const cache of this.#caches) {
        const shape = [this.#end, cache.shape[1]];
        const head = plan.scratch(shape, { label: "head" });
        plan.copy(cache.view(shape), head);
        for (let slot = 1; slot < slots; slot++) plan.copy(head, cache.view(shape, slot * this.#stride * shape[1] * 4));
      }
      plan.run();
    }
    this.#filled = slots;
  }
}

/** Rows up to the end of a head of so many tokens: what follows them begins at bytes where a tensor may be bound. */
function alignedRows({ config: { text } }: Network, tokens: number): number {
  const step = ALIGNMENT / gcd(ALIGNMENT, 2 * text.kvHeads * text.headDim * 4);
  return Math.ceil(tokens / step) * step;
}

/** Rows of a slot that holds that many: rounded up, so that few sizes come about. */
function slotRows(rows: number): number {
  return Math.ceil(rows / 64) * 64;
}

/** Rows of the caches of a pass: `slots` heads of so many tokens, with `rows` behind each. */
export function cacheRowsOf(network: Network, options: { head: number; rows: number; slots: number }): number {
  const { head, rows, slots } = options;
  return slots * slotRows(alignedRows(network, head) + rows);
}

function gcd(a: number, b: number): number {
  return b ? gcd(b, a % b) : a;
}
