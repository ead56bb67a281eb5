/**
 * What a sequence takes of a picture, in tensors that stay the same from picture to picture, so that plans can be recorded on them.
 * Letters: N visual tokens, D hidden.
 */
import { Plan } from "../kernels/plan.ts";
import { PlanCache } from "../kernels/plan_cache.ts";
import type { Tensor } from "../kernels/tensor.ts";
import type { AspectModules } from "./aspects/aspect_modules.ts";
import type { FeatureStore, VisualFeatures } from "./encode.ts";
import type { Qwen2Vl } from "./load.ts";

/** Options of {@linkcode PictureInputs}. */
export interface PictureInputsOptions {
  /** Where features come from. */
  store: FeatureStore;
  /** Trained aspect modules; without them there are no aspect tokens. */
  aspects?: AspectModules;
  /** Aspect tokens are kept in this many bytes of GPU memory; 128 MiB when left out. */
  gpuBytes?: number;
}

/** Features and aspect tokens of one picture at a time. */
export class PictureInputs implements Disposable {
  /** Rows of `aspects` that hold tokens, view by view. */
  readonly aspectRows: readonly number[];
  readonly #model: Qwen2Vl;
  readonly #options: PictureInputsOptions;
  readonly #plans = new PlanCache<Plan>(64);
  readonly #known = new Map<string, Tensor>();
  readonly #stride: number;
  #features: Tensor;
  #aspects: Tensor;
  #generation = 0;
  #bytes = 0;

  /** @param model the model whose features these are */
  constructor(model: Qwen2Vl, options: PictureInputsOptions) {
    const { views = [], tokens = 1 } = options.aspects ?? {};
    this.#model = model;
    this.#options = options;
    this.#stride = Math.ceil(tokens / 8) * 8; // a view's tokens begin at a multiple of 256 bytes, as bindings must
    this.aspectRows = views.flatMap((_, v) => Array.from({ length: tokens }, (_, i) => v * this.#stride + i));
    const { hidden } = model.network.config.text;
    this.#features = model.gpu.tensor([64, hidden], { label: "features of the picture" });
    this.#aspects = model.gpu.tensor([Math.max(1, views.length) * this.#stride, hidden], { label: "aspect tokens of the picture" });
  }

  /** Sources for the language model: `features` (capacity, D) and `aspects`. */
  get sources(): { features: Tensor; aspects: Tensor } {
    return { features: this.#features, aspects: this.#aspects };
  }

  /** Changes when the sources' tensors were replaced by larger ones: a part of the key of plans that use them. */
  get generation(): number {
    return this.#generation;
  }

  /** Begins to read pictures that will be loaded soon. */
  prefetch(...images: string[]): void {
    this.#options.store.prefetch(...images);
  }

  /**
   * Puts a picture's features and aspect tokens into the sources.
   *
   * @returns N and the grid of the visual tokens
   * @throws {MaspError} when the picture cannot be read or decoded
   */
  async load(image: string): Promise<{ tokens: number; grid: VisualFeatures["grid"] }> {
    const { gpu } = this.#model;
    const { tensor, grid } = await this.#options.store.get(image);
    const [tokens] = tensor.shape;
    this.#reserve(tokens);
    gpu.run({ from: tensor, to: this.#features });
    if (!this.#options.aspects) return { tokens, grid };
    const known = this.#known.get(image);
    if (known) {
      this.#known.delete(image);
      this.#known.set(image, known);
      gpu.run({ from: known, to: this.#aspects });
      return { tokens, grid };
    }
    gpu.run(this.#aspectPlan(tokens));
    this.#remember(image);
    return { tokens, grid };
  }

  /** Frees tensors and plans. */
  [Symbol.dispose](): void {
    this.#plans.clear();
    this.#model.gpu.destroy(this.#features, this.#aspects, ...this.#known.values());
    this.#known.clear();
  }

  #aspectPlan(tokens: number): Plan {
    return this.#plans.get(`${tokens}`, () => {
      const { aspects } = this.#options;
      const plan = new Plan(this.#model.gpu, `aspects of ${tokens} visual tokens`);
      const { hidden } = this.#model.network.config.text;
      const features = this.#features.view([tokens, hidden]);
      aspects!.views.forEach((view, v) => {
        const z = this.#aspects.view([aspects!.tokens, hidden], v * this.#stride * hidden * 4);
        aspects!.recordForward(plan, view, { features, z });
      });
      return plan;
    });
  }

  #remember(image: string): void {
    const { gpu } = this.#model;
    const copy = gpu.tensor(this.#aspects.shape, { label: "aspect tokens" });
    gpu.run({ from: this.#aspects, to: copy });
    this.#known.set(image, copy);
    this.#bytes += copy.bytes;
    const limit = this.#options.gpuBytes ?? 128 * 2 ** 20;
    for (const [oldest, tensor] of this.#known) {
      if (this.#bytes <= limit || tensor === copy) return;
      this.#known.delete(oldest);
      this.#bytes -= tensor.bytes;
      gpu.destroy(tensor);
    }
  }

  #reserve(tokens: number): void {
    const [capacity, hidden] = this.#features.shape;
    if (tokens <= capacity) return;
    this.#plans.clear();
    this.#model.gpu.destroy(this.#features);
    this.#features = this.#model.gpu.tensor([Math.ceil(tokens / 64) * 64, hidden], { label: "features of the picture" });
    this.#generation++;
  }
}
