/** The optimizer of stage 1: gradients, moments and updates of each view's parameters. */
import type { Gpu } from "../../kernels/gpu.ts";
import { gradientNorm } from "../../kernels/gradient_norm/gradient_norm.ts";
import { Plan } from "../../kernels/plan.ts";
import { PlanCache } from "../../kernels/plan_cache.ts";
import type { Tensor } from "../../kernels/tensor.ts";
import type { AspectModules, FlatParameters } from "../aspects/aspect_modules.ts";
import type { TensorData } from "../checkpoint/tensor_data.ts";
import { ADAMW_DEFAULTS, type AdamWSettings } from "./adamw_settings.ts";
import { ParameterGroup, type ParkedMoments } from "./parameter_group.ts";

/** A view's parameters with their moments: what weight decay shrinks, and the biases, which it does not. */
interface ViewGroups {
  decayed: ParameterGroup;
  biases: ParameterGroup;
}

/** Moments of a view in host memory. */
type ParkedView = Record<keyof ViewGroups, ParkedMoments>;

/** See the module's text. Gradients of a step of one sample always lie in the same tensors, whatever its view. */
export class ViewOptimizer implements Disposable {
  readonly #gpu: Gpu;
  readonly #aspects: AspectModules;
  readonly #adamW: Required<AdamWSettings>;
  readonly #plans = new PlanCache<Plan>(128);
  readonly #groups = new Map<string, ViewGroups>();
  readonly #gradients: FlatParameters[] = [];
  readonly #norms: readonly Tensor[];
  /** Views of the step so far, and the places of their gradients. */
  readonly #touched = new Map<string, number>();
  /** Where one view at a time is on the GPU: moments of the others, of a view before its first step, and the view that is there. */
  readonly #parked = new Map<string, ParkedView>();
  #fresh?: ParkedView;
  #resident?: string;

  /** @param options the modules that train, and AdamW's settings */
  constructor(gpu: Gpu, options: { aspects: AspectModules; adamW?: AdamWSettings }) {
    this.#gpu = gpu;
    this.#aspects = options.aspects;
    this.#adamW = { ...ADAMW_DEFAULTS, ...options.adamW };
    this.#norms = options.aspects.views.map(() => gpu.tensor([2], { label: "gradient norm" }));
  }

  /** Begins a step. */
  begin(): void {
    this.#touched.clear();
  }

  /**
   * Notes that the step has a sample of a view.
   *
   * @param options whether the sample is the step's only one: then its gradients need no place of their own
   * @returns what has to run before its gradients are added: nothing where the view was noted before
   */
  touch(view: string, options: { alone: boolean }): Plan[] {
    if (this.#touched.has(view)) return [];
    const place = options.alone ? 0 : this.#aspects.views.indexOf(view);
    const { decayed, biases } = this.#aspects.parameters(view);
    const like = ({ shape }: Tensor) => this.#gpu.tensor(shape, { label: "gradient" });
    const gradients = this.#gradients[place] ??= { decayed: like(decayed), biases: like(biases) };
    this.#touched.set(view, place);
    return [this.#plans.get(`clear ${place}`, () => {
      const plan = new Plan(this.#gpu, "clear gradients");
      plan.clear(gradients.decayed);
      plan.clear(gradients.biases);
      return plan;
    })];
  }

  /** Which of several tensors hold a view's gradients: a part of the key of plans that use them. */
  place(view: string): number {
    const place = this.#touched.get(view);
    if (place === undefined) {
      throw new Error(`The step has no sample of the view "${view}"; it has ${[...this.#touched.keys()].join(", ")}`);
    }
    return place;
  }

  /** Gradients of a view in the step so far. */
  gradients(view: string): FlatParameters {
    return this.#gradients[this.place(view)];
  }

  /** Views of the step so far, in the order in which they are clipped and updated. */
  get views(): string[] {
    return [...this.#touched.keys()].sort();
  }

  /**
   * Puts a view's parameters and moments on the GPU, where modules are kept there one view at a time; what the view needs next runs behind
   * this and before the next call.
   */
  async bring(view: string): Promise<void> {
    await this.#aspects.bring(view);
    if (!this.#aspects.offloaded || this.#resident === view) return;
    const { decayed, biases } = this.#groupsOf(view);
    const park = async () => ({ decayed: await decayed.park(), biases: await biases.park() });
    if (this.#resident) this.#parked.set(this.#resident, await park());
    const { decayed: m, biases: b } = this.#parked.get(view) ?? (this.#fresh ??= await park());
    decayed.unpark(m);
    biases.unpark(b);
    this.#parked.delete(view);
    this.#resident = view;
  }

  /**
   * The norm of the step's gradient, over all its views.
   *
   * @returns the plan, which has to run once, and the tensor whose first number is the norm until a step has these views again
   */
  clip(): { plan: Plan; norm: Tensor } {
    const views = this.views;
    const norm = this.#norms[this.#aspects.views.indexOf(views[0])];
    const plan = this.#plans.get(`clip ${views.map((view) => `${view} ${this.place(view)}`)}`, () => {
      const plan = new Plan(this.#gpu, `norm of the gradient of ${views}`);
      const gradients = views.flatMap((view) => Object.values(this.gradients(view)) as Tensor[]);
      gradientNorm(plan, { gradients, maxNorm: this.#adamW.maxNorm, out: norm });
      return plan;
    });
    return { plan, norm };
  }

  /** The update of one of the step's views, with the norm that the plan of `clip` computed. @returns the plan, which has to run once */
  update(view: string, { learningRate, norm }: { learningRate: number; norm: Tensor }): Plan {
    const groups = this.#groupsOf(view);
    groups.decayed.prepare({ ...this.#adamW, learningRate });
    groups.biases.prepare({ ...this.#adamW, learningRate, weightDecay: 0 });
    return this.#plans.get(`update ${view} ${this.place(view)} ${this.#norms.indexOf(norm)}`, () => {
      const plan = new Plan(this.#gpu, `update of ${view}`);
      const { decayed, biases } = this.gradients(view);
      groups.decayed.recordUpdate(plan, { gradient: decayed, norm });
      groups.biases.recordUpdate(plan, { gradient: biases, norm });
      return plan;
    });
  }

  /** Parameters and moments of all views. */
  async state(): Promise<Record<string, TensorData>> {
    const state: Record<string, TensorData> = {};
    for (const view of this.#aspects.views) {
      await this.bring(view);
      const { decayed, biases } = this.#groupsOf(view);
      Object.assign(state, await decayed.state(`${view}.decayed`), await biases.state(`${view}.biases`));
    }
    return state;
  }

  /** Puts a state back. */
  async restore(tensors: Readonly<Record<string, TensorData>>): Promise<void> {
    for (const view of this.#aspects.views) {
      await this.bring(view);
      const { decayed, biases } = this.#groupsOf(view);
      decayed.restore(tensors, `${view}.decayed`);
      biases.restore(tensors, `${view}.biases`);
    }
  }

  /** Frees gradients and moments; the modules stay. */
  [Symbol.dispose](): void {
    this.#plans.clear();
    this.#gpu.destroy(...this.#norms);
    for (const { decayed, biases } of new Set(this.#groups.values())) {
      decayed[Symbol.dispose]();
      biases[Symbol.dispose]();
    }
    for (const gradients of this.#gradients) if (gradients) this.#gpu.destroy(gradients.decayed, gradients.biases);
  }

  #groupsOf(view: string): ViewGroups {
    const shared = this.#aspects.offloaded ? this.#groups.values().next().value : undefined;
    let groups = this.#groups.get(view) ?? shared;
    if (!groups) {
      const { decayed, biases } = this.#aspects.parameters(view);
      const { eightBit } = this.#adamW;
      const group = (parameter: Tensor) => new ParameterGroup(this.#gpu, { parameter, eightBit });
      this.#groups.set(view, groups = { decayed: group(decayed), biases: group(biases) });
    }
    return groups;
  }
}
