/** What the aspect tokens say, in words: the frozen model answers a view's question with the view's tokens in place of the picture. */
import { Plan } from "../../kernels/plan.ts";
import type { Tensor } from "../../kernels/tensor.ts";
import type { FeatureStore } from "../encode.ts";
import type { Qwen2Vl } from "../load.ts";
import { maspSequence } from "../masp_sequence.ts";
import { Generator } from "../qwen2_vl/generate.ts";
import type { AspectModules } from "./aspect_modules.ts";

/** Options of {@linkcode AspectAnswerer}. */
export interface AspectAnswererOptions {
  /** Trained modules. */
  aspects: AspectModules;
  /** Features of the pictures. */
  store: FeatureStore;
  /** Tokens of an answer at most; 24 when left out. */
  maxNewTokens?: number;
}

/** See the module's text. All views of a picture are answered in one pass. */
export class AspectAnswerer implements Disposable {
  readonly #model: Qwen2Vl;
  readonly #options: AspectAnswererOptions;
  readonly #generator: Generator;
  readonly #z: Tensor;
  readonly #stride: number;

  /** @param model the frozen model */
  constructor(model: Qwen2Vl, options: AspectAnswererOptions) {
    const { aspects, maxNewTokens = 24 } = options;
    this.#model = model;
    this.#options = options;
    this.#stride = Math.ceil(aspects.tokens / 8) * 8;
    this.#z = model.gpu.tensor([aspects.views.length * this.#stride, aspects.hidden], { label: "aspect tokens" });
    const { eosIds } = model.network.config;
    this.#generator = new Generator(model.network, { maxNewTokens, eosIds, sources: { aspects: this.#z } });
  }

  /**
   * Answers in words.
   *
   * @param questions a question by view
   * @returns an answer by view
   */
  async answer(image: string, questions: Readonly<Record<string, string>>): Promise<Record<string, string>> {
    const { aspects, store } = this.#options;
    const { tensor: features } = await store.get(image);
    const views = Object.keys(questions);
    using plan = new Plan(this.#model.gpu, "aspects in words");
    const prompts = views.map((view) => {
      const v = aspects.views.indexOf(view);
      const z = this.#z.view([aspects.tokens, aspects.hidden], v * this.#stride * aspects.hidden * 4);
      aspects.recordForward(plan, view, { features, z });
      const rows = { aspects: Array.from({ length: aspects.tokens }, (_, i) => v * this.#stride + i) };
      const { ids, rows: sources } = maspSequence(this.#model, { chat: { question: questions[view] }, rows });
      return { ids, rows: { aspects: sources.aspects } };
    });
    plan.run();
    const { tokens } = await this.#generator.generate(prompts);
    const text = (ids: number[]) => this.#model.tokenizer.decode(ids, { skipSpecialTokens: true });
    return Object.fromEntries(views.map((view, i) => [view, text(tokens[i])]));
  }

  /** Frees plans and caches. */
  [Symbol.dispose](): void {
    this.#generator[Symbol.dispose]();
    this.#model.gpu.destroy(this.#z);
  }
}
