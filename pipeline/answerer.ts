/** Questions about pictures → generated answers, with MASP's sequences or with plain Qwen2-VL's. Letters: L tokens of a sequence, N visual tokens. */
import { firstRows } from "../kernels/linear/matrix.ts";
import type { Qwen2Vl } from "./load.ts";
import { type Chat, maspSequence } from "./masp_sequence.ts";
import type { PictureInputs } from "./picture_inputs.ts";
import { Generator } from "./qwen2_vl/generate.ts";
import type { Prompt } from "./qwen2_vl/prompt.ts";
import { mropePositions } from "./qwen2_vl/mrope_positions.ts";
import type { SoftPrompt } from "./soft_prompt.ts";

/** Options of {@linkcode Answerer}. */
export interface AnswererOptions {
  /** Features and aspect tokens of the pictures. */
  inputs: PictureInputs;
  /** Soft prompt; without one the answers are those of the base model. */
  prompt?: SoftPrompt;
  /** Tokens that are generated at most; 4 when left out, as in the published evaluation. */
  maxNewTokens?: number;
  /**
   * `masp`: aspect tokens before the features, plain positions, the head cut to the tokenizer's size.
   * `qwen2-vl`: features alone, M-RoPE positions, the whole head: the zero-shot baseline.
   */
  mode?: "masp" | "qwen2-vl";
}

/** A generated answer. */
export interface Answer {
  /** New token ids, without the end token. */
  tokens: number[];
  /** Their text, special tokens left out. */
  text: string;
}

/** Answers questions about pictures. */
export class Answerer implements Disposable {
  readonly #model: Qwen2Vl;
  readonly #options: AnswererOptions;
  #generator?: { generation: number; generator: Generator };

  /** @param model the frozen model */
  constructor(model: Qwen2Vl, options: AnswererOptions) {
    this.#model = model;
    this.#options = options;
  }

  /**
   * A greedy answer.
   *
   * @throws {MaspError} when the picture cannot be read or decoded
   */
  async answer(image: string, question: string): Promise<Answer> {
    return await (await this.begin(image, question)).answer;
  }

  /**
   * Begins an answer: when this promise is fulfilled, all its work is submitted, and the next answer can be begun while this one is computed.
   *
   * @throws {MaspError} when the picture cannot be read or decoded
   */
  async begin(image: string, question: string): Promise<{ answer: Promise<Answer> }> {
    const prompt = await this.#prepare(image, { question });
    const answer = this.#generatorNow().generate([prompt]).then(({ tokens: [tokens] }) => ({ tokens, text: this.#text(tokens) }));
    answer.catch(() => {}); // reported where it is awaited
    return { answer };
  }

  /**
   * Log-probability of each of several answers (the answer's tokens and the end of the turn).
   *
   * @returns one number per answer, and the greedy answer
   */
  async score(image: string, options: { question: string; answers: readonly string[] }): Promise<{ scores: number[]; answer: Answer }> {
    const { question, answers } = options;
    const { tokenizer } = this.#model;
    const prompt = await this.#prepare(image, { question });
    const end = tokenizer.idOf("<|im_end|>");
    const continuations = answers.map((answer) => [...tokenizer.encode(answer), end]);
    const generator = this.#generatorNow();
    const { scores, tokens } = await generator.score(prompt, continuations);
    return { scores, answer: { tokens, text: this.#text(tokens) } };
  }

  /** Begins to read pictures that will be asked about soon. */
  prefetch(...images: string[]): void {
    this.#options.inputs.prefetch(...images);
  }

  /** Frees plans and caches. */
  [Symbol.dispose](): void {
    this.#generator?.generator[Symbol.dispose]();
  }

  #text(tokens: number[]): string {
    return this.#model.tokenizer.decode(tokens, { skipSpecialTokens: true });
  }

  async #prepare(image: string, options: { question: string }): Promise<Prompt> {
    const { inputs, prompt, mode = "masp" } = this.#options;
    const { tokens: features, grid } = await inputs.load(image);
    const chat: Chat = { question: options.question, promptTokens: prompt?.tokens, layout: prompt?.layout };
    if (mode === "masp") return maspSequence(this.#model, { chat, rows: { aspects: inputs.aspectRows, features } });
    const sequence = maspSequence(this.#model, { chat, rows: { features } });
    const start = sequence.rows.features.indexOf(0);
    return { ...sequence, positions: mropePositions(sequence.ids.length, [{ start, grid }]) };
  }

  /** The generator on the sources' present tensors. */
  #generatorNow(): Generator {
    const { inputs, prompt, maxNewTokens = 4, mode = "masp" } = this.#options;
    if (this.#generator?.generation !== inputs.generation) {
      this.#generator?.generator[Symbol.dispose]();
      const { network: { weights, config }, tokenizer } = this.#model;
      const whole = mode === "qwen2-vl" || tokenizer.size > weights.head.rows;
      const generator = new Generator(this.#model.network, {
        maxNewTokens,
        eosIds: config.eosIds,
        head: prompt?.head ?? (whole ? weights.head : firstRows(weights.head, tokenizer.size)),
        sources: { ...inputs.sources, ...(prompt && { prompt: prompt.rows }) },
      });
      this.#generator = { generation: inputs.generation, generator };
    }
    return this.#generator!.generator;
  }
}
