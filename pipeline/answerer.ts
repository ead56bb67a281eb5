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

/** A question about a picture. */
export interface Question {
  /** Path of the picture. */
  image: string;
  /** What is asked. */
  question: string;
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
  #turn: Promise<void> = Promise.resolve();
  #disposed = false;

  /** @param model the frozen model */
  constructor(model: Qwen2Vl, options: AnswererOptions) {
    this.#model = model;
    this.#options = options;
  }

  /** A greedy answer; see {@linkcode begin}. */
  async answer(image: string, question: string): Promise<Answer> {
    return (await (await this.begin([{ image, question }])).answers)[0];
  }

  /**
   * Begins greedy answers to questions about pictures, in one pass where the adapter's buffers take it: when this promise is fulfilled, all
   * the work is submitted, and the next answers can be begun while these are computed.
   *
   * @param options guesses: answers that are likely, which are then tried as a whole; what is answered otherwise is asked again, token by token
   * @throws {MaspError} when a picture cannot be read or decoded
   */
  async begin(asked: readonly Question[], options: { guesses?: readonly string[] } = {}): Promise<{ answers: Promise<Answer[]> }> {
    const guesses = options.guesses?.map((answer) => this.#model.tokenizer.encode(answer)) ?? [];
    const { tokens } = await this.#submit(asked, (generator, prompts) => ({
      tokens: guesses.length ? generator.guess(prompts, guesses) : generator.generate(prompts).then(({ tokens }) => tokens),
    }));
    const answers = this.#finish(asked, tokens);
    answers.catch(() => {}); // reported where it is awaited
    return { answers };
  }

  /** Answers from their tokens, those that are missing token by token. */
  async #finish(asked: readonly Question[], begun: Promise<(number[] | undefined)[]>): Promise<Answer[]> {
    const tokens = await begun;
    const missing = asked.filter((_, i) => !tokens[i]);
    const others = missing.length ? await (await this.begin(missing)).answers : [];
    return tokens.map((ids) => ids ? this.#answer(ids) : others.shift()!);
  }

  /**
   * Begins to compute the log-probability of each of several answers (the answer's tokens and the end of the turn) to each question, as
   * {@linkcode begin} does for answers.
   *
   * @returns one number per answer, and the greedy answer, for each question
   */
  async beginScores(
    asked: readonly Question[],
    options: { answers: readonly string[] },
  ): Promise<{ results: Promise<{ scores: number[]; answer: Answer }[]> }> {
    const { tokenizer } = this.#model;
    const end = tokenizer.idOf("<|im_end|>");
    const continuations = options.answers.map((answer) => [...tokenizer.encode(answer), end]);
    const { scored } = await this.#submit(asked, (generator, prompts) => ({ scored: generator.scoreAll(prompts, continuations) }));
    const results = scored.then((all) => all.map(({ scores, tokens }) => ({ scores, answer: this.#answer(tokens) })));
    results.catch(() => {}); // reported where it is awaited
    return { results };
  }

  /** Begins to read pictures that will be asked about soon. */
  prefetch(...images: string[]): void {
    this.#options.inputs.prefetch(...images);
  }

  /** Frees plans and caches. */
  [Symbol.dispose](): void {
    this.#disposed = true;
    this.#generator?.generator[Symbol.dispose]();
  }

  #answer(tokens: number[]): Answer {
    return { tokens, text: this.#model.tokenizer.decode(tokens, { skipSpecialTokens: true }) };
  }

  /** Puts pictures into their place and submits work with them, before others may take the place. */
  async #submit<T>(asked: readonly Question[], work: (generator: Generator, prompts: readonly Prompt[]) => T): Promise<T> {
    const turn = this.#turn.then(async () => {
      if (this.#disposed) throw new Error("the answerer was freed");
      const prompts = await this.#prepare(asked);
      return work(this.#generatorNow(), prompts);
    });
    this.#turn = turn.then(() => {}, () => {});
    return await turn;
  }

  async #prepare(asked: readonly Question[]): Promise<Prompt[]> {
    const { inputs, prompt, mode = "masp" } = this.#options;
    const pictures = await inputs.loadAll(asked.map(({ image }) => image));
    return asked.map(({ question }, i) => {
      const { tokens: features, firstFeature, aspectRows: aspects, grid } = pictures[i];
      const chat: Chat = { question, promptTokens: prompt?.tokens, layout: prompt?.layout };
      if (mode === "masp") return maspSequence(this.#model, { chat, rows: { aspects, features, firstFeature } });
      const sequence = maspSequence(this.#model, { chat, rows: { features, firstFeature } });
      const start = sequence.rows.features.indexOf(firstFeature);
      return { ...sequence, positions: mropePositions(sequence.ids.length, [{ start, grid }]) };
    });
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
