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

/** A picture's features begin at a multiple of so many rows, and of 256 bytes, as copies and bindings must. */
const ROWS = 64;

/** Bytes of GPU memory in which aspect tokens are kept, where nothing else is said. */
export const ASPECT_BYTES = 128 * 2 ** 20;

/** Bytes of the aspect tokens that are kept of a picture. */
export function aspectBytes({ views, stride, hidden }: AspectModules): number {
  return 4 * hidden * Math.max(1, views.length) * stride;
}

/** Options of {@linkcode PictureInputs}. */
export interface PictureInputsOptions {
  /** Where features come from. */
  store: FeatureStore;
  /** Trained aspect modules; without them there are no aspect tokens. */
  aspects?: AspectModules;
  /** Aspect tokens are kept in this many bytes of GPU memory; {@linkcode ASPECT_BYTES} when left out. */
  gpuBytes?: number;
  /** Pictures at a time, at most; 1 when left out. */
  batch?: number;
}

/** Where a picture's rows lie in the sources. */
export interface LoadedPicture {
  /** N */
  tokens: number;
  /** Row of `features` that holds the first one. */
  firstFeature: number;
  /** Rows of `aspects`, view by view. */
  aspectRows: readonly number[];
  /** Frames, rows and columns of the visual tokens. */
  grid: VisualFeatures["grid"];
}

/** Features and aspect tokens of some pictures at a time. */
export class PictureInputs implements Disposable {
  /** Rows of `aspects` that hold the first picture's tokens, view by view. */
  readonly aspectRows: readonly number[];
  readonly #model: Qwen2Vl;
  readonly #options: PictureInputsOptions;
  readonly #plans = new PlanCache<Plan>(64);
  readonly #known = new Map<string, Tensor>();
  /** Rows of `aspects` of a picture. */
  readonly #aspectHeight: number;
  #features: Tensor;
  #aspects: Tensor;
  #generation = 0;
  #bytes = 0;

  /** @param model the model whose features these are */
  constructor(model: Qwen2Vl, options: PictureInputsOptions) {
    options.aspects?.expectResident();
    const { views = [], stride = 8 } = options.aspects ?? {};
    this.#model = model;
    this.#options = options;
    this.aspectRows = views.flatMap((_, v) => options.aspects!.tokenRows(v));
    const { hidden } = model.network.config.text;
    this.#features = model.gpu.tensor([64, hidden], { label: "features of the picture" });
    this.#aspectHeight = Math.max(1, views.length) * stride;
    const { batch = 1 } = options;
    this.#aspects = model.gpu.tensor([batch * this.#aspectHeight, hidden], { label: "aspect tokens of the picture" });
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

  /** Puts a picture's features and aspect tokens into the sources; see {@linkcode loadAll}. */
  async load(image: string): Promise<LoadedPicture> {
    return (await this.loadAll([image]))[0];
  }

  /**
   * Puts pictures' features and aspect tokens into the sources, at most as many as the batch.
   *
   * @throws {MaspError} when a picture cannot be read or decoded
   */
  async loadAll(images: readonly string[]): Promise<LoadedPicture[]> {
    const { gpu } = this.#model;
    const features = await this.#options.store.getAll(images);
    let rows = 0;
    const pictures = features.map(({ tensor: { shape: [tokens] }, grid }, p) => {
      const firstFeature = rows;
      rows += Math.ceil(tokens / ROWS) * ROWS;
      return { tokens, grid, firstFeature, aspectRows: this.aspectRows.map((row) => p * this.#aspectHeight + row) };
    });
    const largest = Math.max(...features.map(({ tensor: { shape: [tokens] } }) => Math.ceil(tokens / ROWS) * ROWS));
    this.#reserve(Math.max(rows, largest * (this.#options.batch ?? 1)));
    // Each picture's aspect tokens are computed from the first rows of the features, the first picture's last, since these are its place.
    for (let p = images.length - 1; p >= 0; p--) this.#loadAspects(images[p], { place: p, features: features[p].tensor });
    const { hidden } = this.#model.network.config.text;
    const others = pictures.slice(1).map(({ tokens, firstFeature }, p) => ({
      from: features[p + 1].tensor,
      to: this.#features.view([tokens, hidden], firstFeature * hidden * 4),
    }));
    gpu.run({ from: features[0].tensor, to: this.#features }, ...others);
    return pictures;
  }

  /** Frees tensors and plans. */
  [Symbol.dispose](): void {
    this.#plans.clear();
    this.#model.gpu.destroy(this.#features, this.#aspects, ...this.#known.values());
    this.#known.clear();
  }

  #loadAspects(image: string, { place, features }: { place: number; features: Tensor }): void {
    const { gpu } = this.#model;
    if (!this.#options.aspects) return;
    const { hidden } = this.#model.network.config.text;
    const shape = [this.#aspectHeight, hidden];
    const to = this.#aspects.view(shape, place * this.#aspectHeight * hidden * 4);
    const known = this.#known.get(image);
    if (known) {
      this.#known.delete(image);
      this.#known.set(image, known);
      gpu.run({ from: known, to });
      return;
    }
    const copy = gpu.tensor(shape, { label: "aspect tokens" });
    gpu.run({ from: features, to: this.#features }, this.#aspectPlan(features.shape[0]), { from: this.#aspects.view(shape), to: copy });
    if (place > 0) gpu.run({ from: copy, to });
    this.#remember(image, copy);
  }

  #aspectPlan(tokens: number): Plan {
    return this.#plans.get(`${tokens}`, () => {
      const { aspects } = this.#options;
      const plan = new Plan(this.#model.gpu, `aspects of ${tokens} visual tokens`);
      const { hidden } = this.#model.network.config.text;
      const features = this.#features.view([tokens, hidden]);
      aspects!.views.forEach((view, v) => {
        const z = this.#aspects.view([aspects!.tokens, hidden], v * aspects!.stride * hidden * 4);
        aspects!.recordForward(plan, view, { features, z });
      });
      return plan;
    });
  }

  #remember(image: string, copy: Tensor): void {
    const { gpu } = this.#model;
    this.#known.set(image, copy);
    this.#bytes += copy.bytes;
    const limit = this.#options.gpuBytes ?? ASPECT_BYTES;
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
