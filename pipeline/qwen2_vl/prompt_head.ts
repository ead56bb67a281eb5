/**
 * The constant head of all prompts ("<|im_start|>system … <|im_start|>user"): its keys and values are computed once, and no gradient goes
 * there, since it stands before everything that trains. Letters: H tokens of the head, C rows of the caches, KV = kvHeads · headDim.
 */
import { Plan } from "../../kernels/plan.ts";
import type { Tensor } from "../../kernels/tensor.ts";
import type { Prompt } from "./prompt.ts";
import { embedRows, languageModel, NO_ROW } from "./language_model.ts";
import type { Network } from "./network.ts";
import { layoutSequences } from "./sequence_layout.ts";

/** Caches that begin with a head's keys and values. */
export interface HeadCaches {
  /** Keys and values of each layer (C, 2·KV). */
  readonly caches: readonly Tensor[];
  /** Row of the head's first token. */
  readonly first: number;
  /** Row behind its last token: where a sequence goes on. */
  readonly end: number;
  /** Rows from one sequence's head to the next one's. */
  readonly stride: number;
  /** Sequences that have a head each. */
  readonly slots: number;
  /** Changes when the caches were replaced or the head takes other rows: a part of the key of plans that use them. */
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

/** Computes heads and keeps the caches of the latest one. */
export class PromptHead implements Disposable {
  readonly #network: Network;
  #caches: Tensor[] = [];
  #ids?: string = "";
  #first = 0;
  #end = 0;
  #stride = 0;
  #slots = 0;
  #generation = 0;

  /** @param network the model */
  constructor(network: Network) {
    this.#network = network;
  }

  /**
   * Caches that hold the head, with room for that many rows behind it.
   *
   * @param ids the head's tokens (H)
   * @param options sequences that need a head each, with as many rows; one when left out
   */
  prepare(ids: ArrayLike<number>, rows: number, options: { slots?: number } = {}): HeadCaches {
    const key = Array.from(ids).join(" ");
    const { gpu, config: { text } } = this.#network;
    const width = 2 * text.kvHeads * text.headDim;
    const step = ALIGNMENT / gcd(ALIGNMENT, width * 4);
    const end = Math.ceil(ids.length / step) * step;
    const { slots = 1 } = options;
    const larger = slots > this.#slots || end + rows > this.#stride;
    if (larger || key !== this.#ids) {
      this.#ids = undefined; // nothing counts as made until everything is
      if (larger) {
        const [most, stride] = [Math.max(slots, this.#slots), Math.max(Math.ceil((end + rows) / 64) * 64, this.#stride)];
        gpu.destroy(...this.#caches.splice(0));
        [this.#slots, this.#stride] = [0, 0];
        for (let i = 0; i < text.layers; i++) {
          this.#caches.push(gpu.tensor([most * stride, width], { label: `keys and values of layer ${i}` }));
        }
        [this.#slots, this.#stride] = [most, stride];
      }
      const first = end - ids.length;
      if (larger || end !== this.#end || first !== this.#first) this.#generation++;
      [this.#first, this.#end] = [first, end];
      if (ids.length) this.#compute(Uint32Array.from(ids));
      this.#ids = key;
    }
    return {
      caches: this.#caches,
      first: this.#first,
      end: this.#end,
      stride: this.#stride,
      slots: this.#slots,
      generation: this.#generation,
    };
  }

  /** Frees the caches. */
  [Symbol.dispose](): void {
    this.#network.gpu.destroy(...this.#caches.splice(0));
  }

  /** The head's rows stand at the end of the aligned part; rows before them are never looked at. */
  #compute(head: Uint32Array): void {
    const network = this.#network;
    const rows = this.#end;
    const before = this.#first;
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
    for (const cache of this.#caches) this.#repeat(plan, cache);
    plan.run();
  }

  /** The first sequence's head for the others: by way of scratch memory, since a buffer cannot be copied to itself. */
  #repeat(plan: Plan, cache: Tensor): void {
    const shape = [this.#end, cache.shape[1]];
    if (this.#slots < 2) return;
    const head = plan.scratch(shape, { label: "head" });
    plan.copy(cache.view(shape), head);
    for (let slot = 1; slot < this.#slots; slot++) plan.copy(head, cache.view(shape, slot * this.#stride * shape[1] * 4));
  }
}

function gcd(a: number, b: number): number {
  return b ? gcd(b, a % b) : a;
}
