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
  /** Pictures that are asked about in one pass at most; 1 when left out. */
  batch?: number;
}

/** See the module's text. All views of some pictures are answered in one pass where the adapter's buffers take it. */
export class AspectAnswerer implements Disposable {
  readonly #model: Qwen2Vl;
  readonly #options: AspectAnswererOptions;
  readonly #generator: Generator;
  readonly #z: Tensor;

  /** @param model the frozen model */
  constructor(model: Qwen2Vl, options: AspectAnswererOptions) {
    const { aspects, maxNewTokens = 24, batch = 1 } = options;
    aspects.expectResident();
    this.#model = model;
    this.#options = options;
    this.#z = model.gpu.tensor([batch * aspects.views.length * aspects.stride, aspects.hidden], { label: "aspect tokens" });
    const { eosIds } = model.network.config;
    this.#generator = new Generator(model.network, { maxNewTokens, eosIds, sources: { aspects: this.#z } });
  }

  /**
   * Answers about pictures in words, one call after the other.
   *
   * @param images as many as the batch at most
   * @param questions a question by view
   * @returns an answer by view, for each picture
   */
  async answer(images: readonly string[], questions: Readonly<Record<string, string>>): Promise<Record<string, string>[]> {
    const { aspects, store } = this.#options;
    const features = await store.getAll(images);
    const views = Object.keys(questions);
    using plan = new Plan(this.#model.gpu, "aspects in words");
    const prompts = features.flatMap(({ tensor: features }, i) =>
      views.map((view) => {
        const tokens = aspects.tokenRows(i * aspects.views.length + aspects.views.indexOf(view));
        const z = this.#z.view([aspects.tokens, aspects.hidden], tokens[0] * aspects.hidden * 4);
        aspects.recordForward(plan, view, { features, z });
        const { ids, rows: sources } = maspSequence(this.#model, { chat: { question: questions[view] }, rows: { aspects: tokens } });
        return { ids, rows: { aspects: sources.aspects } };
      })
    );
    plan.run();
    const { tokens } = await this.#generator.generate(prompts, { untilEnd: true });
    const texts = tokens.map((ids) => this.#model.tokenizer.decode(ids, { skipSpecialTokens: true }));
    return images.map((_, i) => Object.fromEntries(views.map((view, v) => [view, texts[i * views.length + v]])));
  }

  /** Frees plans and caches. */
  [Symbol.dispose](): void {
    this.#generator[Symbol.dispose]();
    this.#model.gpu.destroy(this.#z);
  }
}
