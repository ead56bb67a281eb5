/**
 * Stage 1's step: gradients of the aspect modules of the step's views, then AdamW on those views alone.
 * Letters: N visual tokens, D hidden, T rows, A answers.
 */
import type { Gpu } from "../../kernels/gpu.ts";
import { gradientNorm } from "../../kernels/gradient_norm/gradient_norm.ts";
import { Plan } from "../../kernels/plan.ts";
import { PlanCache } from "../../kernels/plan_cache.ts";
import type { Tensor } from "../../kernels/tensor.ts";
import type { AspectModules } from "../aspects/aspect_modules.ts";
import type { TensorData } from "../checkpoint/tensor_data.ts";
import type { AspectSample } from "../data/aspect_samples.ts";
import type { FeatureStore } from "../encode.ts";
import type { Qwen2Vl } from "../load.ts";
import { maspSequence } from "../masp_sequence.ts";
import { headOf, PromptHead } from "../qwen2_vl/prompt_head.ts";
import { ADAMW_DEFAULTS, type AdamWSettings } from "./adamw_settings.ts";
import { ParameterGroup } from "./parameter_group.ts";
import { passSize, TrainingPass, withoutFirst } from "./training_pass.ts";
import type { Trainable } from "./training_run.ts";

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
}

/** The optimizer's tensors of a view: what decays, and the biases, which do not. */
interface ViewGroups {
  decayed: ParameterGroup;
  biases: ParameterGroup;
}

/** Trains aspect modules; see {@linkcode Trainable}. */
export class AspectTrainer implements Trainable<AspectSample>, Disposable {
  readonly gpu: Gpu;
  /** Plans of the latest step, for profiles. */
  recentPlans: readonly Plan[] = [];
  readonly #model: Qwen2Vl;
  readonly #options: AspectTrainerOptions;
  readonly #adamW: Required<AdamWSettings>;
  readonly #passes = new PlanCache<TrainingPass>(32);
  readonly #head: PromptHead;
  readonly #plans = new PlanCache<Plan>(256);
  readonly #groups = new Map<string, ViewGroups>();
  readonly #touched = new Set<string>();
  readonly #z: Tensor;
  readonly #dz: Tensor;
  readonly #norm: Tensor;
  #features: Tensor;

  /** @param model the frozen model */
  constructor(model: Qwen2Vl, options: AspectTrainerOptions) {
    const { gpu, network: { config: { text } } } = model;
    this.gpu = gpu;
    this.#model = model;
    this.#options = options;
    this.#head = new PromptHead(model.network);
    this.#adamW = { ...ADAMW_DEFAULTS, ...options.adamW };
    this.#z = gpu.tensor([options.aspects.tokens, text.hidden], { label: "aspect tokens" });
    this.#dz = gpu.tensor([options.aspects.tokens, text.hidden], { label: "gradient of the aspect tokens" });
    this.#norm = gpu.tensor([2], { label: "gradient norm" });
    this.#features = gpu.tensor([64, text.hidden], { label: "features of the picture" });
  }

  prefetch(samples: readonly AspectSample[]): void {
    this.#options.store.prefetch(...samples.map(({ image }) => image));
  }

  begin(): void {
    this.#touched.clear();
  }

  async accumulate(sample: AspectSample, options: { weight: number }): Promise<Tensor> {
    const { aspects, store, recompute } = this.#options;
    const { view, question, label } = sample;
    const { tensor: features } = await store.get(sample.image);
    const [tokens] = features.shape;
    this.#reserve(tokens);
    const rows = { aspects: Array.from({ length: aspects.tokens }, (_, i) => i) };
    const sequence = { ...maspSequence(this.#model, { chat: { question, answer: label }, rows }), weight: options.weight };
    const head = headOf(sequence.ids);
    const rest = withoutFirst(sequence, head.length);
    const size = passSize([rest]);
    const promptHead = this.#head.prepare(head, size.rows);
    const pass = this.#passes.get(`${size.rows} ${size.answers} ${promptHead.generation}`, () =>
      new TrainingPass(this.#model.network, {
        ...size,
        head: this.#model.network.weights.head,
        sources: { aspects: this.#z },
        gradients: { aspects: { out: this.#dz, add: false } },
        recompute,
        promptHead,
      }));
    pass.write([rest]);
    const clear = this.#touched.has(view) ? [] : [this.#clearPlan(view)];
    this.#touched.add(view);
    this.recentPlans = [...clear, this.#forwardPlan(view, tokens), pass.plan, this.#backwardPlan(view, tokens)];
    this.gpu.run({ from: features, to: this.#features }, ...this.recentPlans);
    return pass.loss;
  }

  update({ learningRate }: { learningRate: number }): Tensor {
    const views = [...this.#touched].sort();
    for (const view of views) {
      const { decayed, biases } = this.#groupsOf(view);
      decayed.prepare({ ...this.#adamW, learningRate });
      biases.prepare({ ...this.#adamW, learningRate, weightDecay: 0 });
    }
    const update = this.#plans.get(`update ${views}`, () => {
      const plan = new Plan(this.gpu, `update of ${views}`);
      const groups = views.flatMap((view) => Object.values(this.#groupsOf(view)) as ParameterGroup[]);
      const { maxNorm } = this.#adamW;
      gradientNorm(plan, { gradients: groups.map(({ gradient }) => gradient), maxNorm, out: this.#norm });
      for (const group of groups) group.recordUpdate(plan, this.#norm);
      return plan;
    });
    this.recentPlans = [...this.recentPlans, update];
    this.gpu.run(update);
    return this.#norm;
  }

  /** Gradients of a view's parameters in the step so far, flat as in `AspectModules`. */
  gradients(view: string): { decayed: Tensor; biases: Tensor } {
    const { decayed, biases } = this.#groupsOf(view);
    return { decayed: decayed.gradient, biases: biases.gradient };
  }

  async state(): Promise<Record<string, TensorData>> {
    const state: Record<string, TensorData> = {};
    for (const view of this.#options.aspects.views) {
      const { decayed, biases } = this.#groupsOf(view);
      Object.assign(state, await decayed.state(`${view}.decayed`), await biases.state(`${view}.biases`));
    }
    return state;
  }

  restore(tensors: Readonly<Record<string, TensorData>>): void {
    for (const view of this.#options.aspects.views) {
      const { decayed, biases } = this.#groupsOf(view);
      decayed.restore(tensors, `${view}.decayed`);
      biases.restore(tensors, `${view}.biases`);
    }
  }

  /** Frees what the training needed; the modules stay. */
  [Symbol.dispose](): void {
    this.#passes.clear();
    this.#head[Symbol.dispose]();
    this.#plans.clear();
    for (const { decayed, biases } of this.#groups.values()) {
      decayed[Symbol.dispose]();
      biases[Symbol.dispose]();
    }
    this.gpu.destroy(this.#z, this.#dz, this.#norm, this.#features);
  }

  #groupsOf(view: string): ViewGroups {
    let groups = this.#groups.get(view);
    if (!groups) {
      const { decayed, biases } = this.#options.aspects.parameters(view);
      const { eightBit } = this.#adamW;
      groups = {
        decayed: new ParameterGroup(this.gpu, { parameter: decayed, eightBit }),
        biases: new ParameterGroup(this.gpu, { parameter: biases, eightBit }),
      };
      this.#groups.set(view, groups);
    }
    return groups;
  }

  #clearPlan(view: string): Plan {
    return this.#plans.get(`clear ${view}`, () => {
      const plan = new Plan(this.gpu, "clear gradients");
      const { decayed, biases } = this.#groupsOf(view);
      plan.clear(decayed.gradient);
      plan.clear(biases.gradient);
      return plan;
    });
  }

  #forwardPlan(view: string, tokens: number): Plan {
    return this.#plans.get(`forward ${view} ${tokens}`, () => {
      const plan = new Plan(this.gpu, `aspect ${view} of ${tokens} visual tokens`);
      this.#options.aspects.recordForward(plan, view, { features: this.#featuresOf(tokens), z: this.#z });
      return plan;
    });
  }

  #backwardPlan(view: string, tokens: number): Plan {
    return this.#plans.get(`backward ${view} ${tokens}`, () => {
      const plan = new Plan(this.gpu, `gradient of aspect ${view} of ${tokens} visual tokens`);
      this.#options.aspects.recordBackward(plan, view, {
        features: this.#featuresOf(tokens),
        dz: this.#dz,
        gradients: this.gradients(view),
      });
      return plan;
    });
  }

  #featuresOf(tokens: number): Tensor {
    return this.#features.view([tokens, this.#features.shape[1]]);
  }

  #reserve(tokens: number): void {
    const [capacity, hidden] = this.#features.shape;
    if (tokens <= capacity) return;
    this.#plans.clear();
    this.gpu.destroy(this.#features);
    this.#features = this.gpu.tensor([Math.ceil(tokens / 64) * 64, hidden], { label: "features of the picture" });
  }
}
