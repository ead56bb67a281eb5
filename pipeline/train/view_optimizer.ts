/** The optimizer of stage 1: gradients, moments and updates of each view's parameters. */
import type { Gpu } from "../../kernels/gpu.ts";
import { gradientNorm } from "../../kernels/gradient_norm/gradient_norm.ts";
import { Plan } from "../../kernels/plan.ts";
import { PlanCache } from "../../kernels/plan_cache.ts";
import type { Tensor } from "../../kernels/tensor.ts";
import type { AspectModules, FlatParameters } from "../aspects/aspect_modules.ts";
import type { TensorData } from "../checkpoint/tensor_data.ts";
import { ADAMW_DEFAULTS, type AdamWSettings } from "./adamw_settings.ts";
import { ParameterGroup } from "./parameter_group.ts";

/** A view's parameters with their moments: what weight decay shrinks, and the biases, which it does not. */
interface ViewGroups {
  decayed: ParameterGroup;
  biases: ParameterGroup;
}

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

  /**
   * The step's clipping and update.
   *
   * @returns the plan, which has to run once, and the tensor whose first number is the gradient's norm until a step has these views again
   */
  update({ learningRate }: { learningRate: number }): { plan: Plan; norm: Tensor } {
    const views = [...this.#touched.keys()].sort();
    const norm = this.#norms[this.#aspects.views.indexOf(views[0])];
    for (const view of views) {
      const { decayed, biases } = this.#groupsOf(view);
      decayed.prepare({ ...this.#adamW, learningRate });
      biases.prepare({ ...this.#adamW, learningRate, weightDecay: 0 });
    }
    const plan = this.#plans.get(`update ${views.map((view) => `${view} ${this.place(view)}`)}`, () => {
      const plan = new Plan(this.#gpu, `update of ${views}`);
      const pairs = views.flatMap((view) => {
        const { decayed, biases } = this.#groupsOf(view);
        const gradients = this.gradients(view);
        return [{ group: decayed, gradient: gradients.decayed }, { group: biases, gradient: gradients.biases }];
      });
      gradientNorm(plan, { gradients: pairs.map(({ gradient }) => gradient), maxNorm: this.#adamW.maxNorm, out: norm });
      for (const { group, gradient } of pairs) group.recordUpdate(plan, { gradient, norm });
      return plan;
    });
    return { plan, norm };
  }

  /** Parameters and moments of all views. */
  async state(): Promise<Record<string, TensorData>> {
    const state: Record<string, TensorData> = {};
    for (const view of this.#aspects.views) {
      const { decayed, biases } = this.#groupsOf(view);
      Object.assign(state, await decayed.state(`${view}.decayed`), await biases.state(`${view}.biases`));
    }
    return state;
  }

  /** Puts a state back. */
  restore(tensors: Readonly<Record<string, TensorData>>): void {
    for (const view of this.#aspects.views) {
      const { decayed, biases } = this.#groupsOf(view);
      decayed.restore(tensors, `${view}.decayed`);
      biases.restore(tensors, `${view}.biases`);
    }
  }

  /** Frees gradients and moments; the modules stay. */
  [Symbol.dispose](): void {
    this.#plans.clear();
    this.#gpu.destroy(...this.#norms);
    for (const { decayed, biases } of this.#groups.values()) {
      decayed[Symbol.dispose]();
      biases[Symbol.dispose]();
    }
    for (const gradients of this.#gradients) if (gradients) this.#gpu.destroy(gradients.decayed, gradients.biases);
  }

  #groupsOf(view: string): ViewGroups {
    let groups = this.#groups.get(view);
    if (!groups) {
      const { decayed, biases } = this.#aspects.parameters(view);
      const { eightBit } = this.#adamW;
      const group = (parameter: Tensor) => new ParameterGroup(this.#gpu, { parameter, eightBit });
      this.#groups.set(view, groups = { decayed: group(decayed), biases: group(biases) });
    }
    return groups;
  }
}
