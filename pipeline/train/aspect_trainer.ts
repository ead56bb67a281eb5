/**
 * Stage 1's step: gradients of the aspect modules of the step's views, then AdamW on those views alone. Since views do not interact, steps
 * of one sample each and of different views can share a pass through the language model.
 * Letters: N visual tokens, D hidden, T rows, A answers.
 */
import type { Gpu } from "../../kernels/gpu.ts";
import { Plan } from "../../kernels/plan.ts";
import { PlanCache } from "../../kernels/plan_cache.ts";
import type { Tensor } from "../../kernels/tensor.ts";
import type { AspectModules, FlatParameters } from "../aspects/aspect_modules.ts";
import type { TensorData } from "../checkpoint/tensor_data.ts";
import type { AspectSample } from "../data/aspect_samples.ts";
import type { FeatureStore } from "../encode.ts";
import type { Qwen2Vl } from "../load.ts";
import { maspSequence } from "../masp_sequence.ts";
import { commonHead, PromptHead } from "../qwen2_vl/prompt_head.ts";
import type { AdamWSettings } from "./adamw_settings.ts";
import { stepsInMemory } from "./step_grouping.ts";
import { passSize, TrainingPass, type TrainingSequence, withoutFirst } from "./training_pass.ts";
import type { StepGrouping, Trainable } from "./training_run.ts";
import { ViewOptimizer } from "./view_optimizer.ts";

/** Options of {@linkcode AspectTrainer}. */
export interface AspectTrainerOptions {
  /** The modules that train. */
  aspects: AspectModules;
  /** Features of the pictures. */
  store: FeatureStore;
  /** Optimizer. */
  adamW?: AdamWSettings;
  /** Compute each layer again in the backward pass. */
  recompute?: boolean;
  /** Steps of different views that share a pass at most; as many as there are views and as fit into 1 GiB when left out. */
  groupViews?: number;
}

/** Trains aspect modules; see {@linkcode Trainable}. */
export class AspectTrainer implements Trainable<AspectSample>, Disposable {
  readonly gpu: Gpu;
  /** Which steps can share a pass. */
  readonly grouping: StepGrouping<AspectSample>;
  readonly #model: Qwen2Vl;
  readonly #options: AspectTrainerOptions;
  readonly #optimizer: ViewOptimizer;
  readonly #passes = new PlanCache<TrainingPass>(32);
  readonly #head: PromptHead;
  readonly #plans = new PlanCache<Plan>(256);
  readonly #z: Tensor;
  readonly #dz: Tensor;
  readonly #features: Tensor[];

  /** @param model the frozen model */
  constructor(model: Qwen2Vl, options: AspectTrainerOptions) {
    const { gpu, network: { config: { text } } } = model;
    const { aspects, recompute, groupViews = stepsInMemory(text, { recompute }) } = options;
    const most = aspects.offloaded ? 1 : Math.min(groupViews, aspects.views.length);
    this.gpu = gpu;
    this.grouping = { most, inTurn: aspects.offloaded, changes: ({ view }) => view, takeSteps: (steps) => this.#takeSteps(steps) };
    this.#model = model;
    this.#options = options;
    this.#head = new PromptHead(model.network);
    this.#optimizer = new ViewOptimizer(gpu, { aspects, adamW: options.adamW });
    const places = most > 1 ? aspects.views.length : 1;
    this.#z = gpu.tensor([places * aspects.stride, text.hidden], { label: "aspect tokens" });
    this.#dz = gpu.tensor([places * aspects.stride, text.hidden], { label: "gradient of the aspect tokens" });
    this.#features = Array.from({ length: places }, () => gpu.tensor([64, text.hidden], { label: "features of a picture" }));
  }

  prefetch(samples: readonly AspectSample[]): void {
    this.#options.store.prefetch(...samples.map(({ image }) => image));
  }

  begin(): void {
    this.#optimizer.begin();
  }

  async accumulate(sample: AspectSample, { weight }: { weight: number }): Promise<Tensor> {
    const { view } = sample;
    await this.#optimizer.bring(view);
    const { pass, tokens: [tokens], before } = await this.#pass([{ sample, weight }]);
    const clear = this.#optimizer.touch(view, { alone: weight === 1 });
    this.gpu.run(...before, pass.plan, ...clear, this.#backwardPlan(view, tokens));
    return pass.losses.view([1]);
  }

  async update({ learningRate }: { learningRate: number }): Promise<Tensor> {
    const { plan, norm } = this.#optimizer.clip();
    this.gpu.run(plan);
    for (const view of this.#optimizer.views) {
      await this.#optimizer.bring(view);
      this.gpu.run(this.#optimizer.update(view, { learningRate, norm }));
    }
    return norm;
  }

  /**
   * Gradients of a view's parameters in the latest step, flat as in `AspectModules`.
   *
   * @throws {Error} when the step has no sample of that view
   */
  gradients(view: string): FlatParameters {
    return this.#optimizer.gradients(view);
  }

  state(): Promise<Record<string, TensorData>> {
    return this.#optimizer.state();
  }

  restore(tensors: Readonly<Record<string, TensorData>>): Promise<void> {
    return this.#optimizer.restore(tensors);
  }

  /** Frees what the training needed; the modules stay. */
  [Symbol.dispose](): void {
    this.#passes.clear();
    this.#head[Symbol.dispose]();
    this.#plans.clear();
    this.#optimizer[Symbol.dispose]();
    this.gpu.destroy(this.#z, this.#dz, ...this.#features);
  }

  /** Steps of one sample each, of different views: one pass, then clipping and AdamW for each. */
  async #takeSteps(steps: readonly { sample: AspectSample; learningRate: number }[]): Promise<{ loss: Tensor; norm: Tensor }[]> {
    await this.#optimizer.bring(steps[0].sample.view); // the only one, where views are not all on the GPU
    const { pass, tokens, before } = await this.#pass(steps.map(({ sample }) => ({ sample, weight: 1 })));
    const results: { loss: Tensor; norm: Tensor }[] = [];
    const behind = steps.flatMap(({ sample: { view }, learningRate }, s) => {
      this.#optimizer.begin();
      const clear = this.#optimizer.touch(view, { alone: true });
      const { plan: clip, norm } = this.#optimizer.clip();
      results.push({ loss: pass.losses.view([1], 4 * s), norm });
      return [...clear, this.#backwardPlan(view, tokens[s]), clip, this.#optimizer.update(view, { learningRate, norm })];
    });
    this.gpu.run(...before, pass.plan, ...behind);
    return results;
  }

  /** The pass of samples, ready to run behind the plans `before` it; `tokens` has N of each sample's picture. */
  async #pass(samples: readonly { sample: AspectSample; weight: number }[]) {
    const { aspects, store, recompute } = this.#options;
    const { network } = this.#model;
    const tokens: number[] = [];
    for (const { sample: { image, view } } of samples) {
      const { tensor } = await store.get(image);
      tokens.push(tensor.shape[0]);
      this.gpu.run({ from: tensor, to: this.#reserve(view, tensor.shape[0]) });
    }
    const sequences = samples.map(({ sample, weight }) => ({ ...this.#sequence(sample), weight }));
    const head = commonHead(sequences);
    const rests = sequences.map((sequence) => withoutFirst(sequence, head.length));
    const size = passSize(rests);
    if (samples.length > 1) size.sequences = this.grouping.most; // one plan, however many there are
    const longest = Math.max(...rests.map(({ ids }) => ids.length));
    const several = size.sequences > 1; // each then lies behind a head of its own
    const promptHead = this.#head.prepare(head, several ? longest + 1 : size.rows, { slots: size.sequences });
    const pass = this.#passes.get(
      `${size.rows} ${size.answers} ${size.sequences} ${several ? promptHead.stride : ""} ${promptHead.generation}`,
      () =>
        new TrainingPass(network, {
          ...size,
          head: network.weights.head,
          sources: { aspects: this.#z },
          gradients: { aspects: { out: this.#dz, add: false } },
          recompute,
          promptHead,
        }),
    );
    pass.write(rests);
    const before = samples.map(({ sample: { view } }, s) =>
      this.#plans.get(`forward ${view} ${tokens[s]} ${this.#capacity(view)}`, () => {
        const plan = new Plan(this.gpu, `aspect ${view} of ${tokens[s]} visual tokens`);
        aspects.recordForward(plan, view, { features: this.#featuresOf(view, tokens[s]), z: this.#rowsOf(this.#z, view) });
        return plan;
      })
    );
    return { pass, tokens, before };
  }

  #sequence({ question, label, view }: AspectSample): Omit<TrainingSequence, "weight"> {
    const rows = { aspects: this.#options.aspects.tokenRows(this.#place(view)) };
    return maspSequence(this.#model, { chat: { question, answer: label }, rows });
  }

  /** Where a view's features, tokens and norm are. */
  #place(view: string): number {
    return this.grouping.most > 1 ? this.#options.aspects.views.indexOf(view) : 0;
  }

  /** A view's tokens, or their gradients. */
  #rowsOf(tensor: Tensor, view: string): Tensor {
    const { tokens, hidden, stride } = this.#options.aspects;
    return tensor.view([tokens, hidden], this.#place(view) * stride * hidden * 4);
  }

  #featuresOf(view: string, tokens: number): Tensor {
    return this.#features[this.#place(view)].view([tokens, this.#options.aspects.hidden]);
  }

  #backwardPlan(view: string, tokens: number): Plan {
    return this.#plans.get(`backward ${view} ${tokens} ${this.#optimizer.place(view)} ${this.#capacity(view)}`, () => {
      const plan = new Plan(this.gpu, `gradient of aspect ${view} of ${tokens} visual tokens`);
      this.#options.aspects.recordBackward(plan, view, {
        features: this.#featuresOf(view, tokens),
        dz: this.#rowsOf(this.#dz, view),
        gradients: this.gradients(view),
      });
      return plan;
    });
  }

  /** Rows that a view's features have memory for: it is replaced when it is too small, and plans on the former are used no more. */
  #capacity(view: string): number {
    return this.#features[this.#place(view)].shape[0];
  }

  /** Memory for so many of a view's features. */
  #reserve(view: string, tokens: number): Tensor {
    const place = this.#place(view);
    const [capacity, hidden] = this.#features[place].shape;
    if (tokens > capacity) {
      this.gpu.destroy(this.#features[place]);
      this.#features[place] = this.gpu.tensor([Math.ceil(tokens / 64) * 64, hidden], { label: "features of a picture" });
    }
    return this.#features[place];
  }
}
