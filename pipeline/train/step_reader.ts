/** Losses and norms of steps, read in bunches while the next steps are computed, and told in the steps' order. */
import type { Gpu } from "../../kernels/gpu.ts";
import type { Tensor } from "../../kernels/tensor.ts";
import type { TrainingStep } from "./training_run.ts";

/** Steps whose losses are read behind one wait. */
const READ_EVERY = 8;

/** Everything about a step but the numbers that are still on the GPU. */
export type StepFacts = Omit<TrainingStep, "loss" | "gradientNorm">;

interface PendingStep extends StepFacts {
  losses: readonly number[];
  norm: number;
}

/** See the module's text. */
export class StepReader implements AsyncDisposable {
  readonly #history: History;
  readonly #check: (step: TrainingStep) => void;
  readonly #early = new Map<number, TrainingStep>();
  #next: number;
  #pending: PendingStep[] = [];
  #reading: Promise<TrainingStep[]> = Promise.resolve([]);

  /** @param options the first step; losses of a step and steps that are computed together at most; what throws for numbers that are wrong */
  constructor(gpu: Gpu, options: { first: number; losses: number; together: number; check: (step: TrainingStep) => void }) {
    const { first, losses, together, check } = options;
    this.#history = new History(gpu, (READ_EVERY + together) * (losses + 1));
    this.#check = check;
    this.#next = first;
  }

  /** Copies a tensor's first number; @returns its place, for {@linkcode add} */
  keep(tensor: Tensor): number {
    return this.#history.keep(tensor);
  }

  /** Adds a step that was submitted, with the places of its losses and its norm. */
  add(step: StepFacts, numbers: { losses: readonly number[]; norm: number }): void {
    this.#pending.push({ ...step, ...numbers });
  }

  /** Whether so many steps wait that they should be read. */
  get due(): boolean {
    return this.#pending.length >= READ_EVERY;
  }

  /**
   * Begins to read the steps that were added. @returns the steps that were being read, and those that waited for them
   *
   * @throws what the check throws
   */
  async read(): Promise<TrainingStep[]> {
    const before = this.#reading;
    const pending = this.#pending.sort((a, b) => a.step - b.step);
    this.#pending = [];
    this.#reading = this.#history.read().then((numbers) =>
      pending.map(({ losses, norm, ...facts }) => {
        const step = { ...facts, loss: losses.reduce((sum, at) => sum + numbers[at], 0), gradientNorm: numbers[norm] };
        this.#check(step);
        return step;
      })
    );
    this.#reading.catch(() => {}); // reported where it is awaited
    for (const step of await before) this.#early.set(step.step, step);
    const ready: TrainingStep[] = [];
    for (let step = this.#early.get(this.#next); step; step = this.#early.get(this.#next)) {
      ready.push(step);
      this.#early.delete(this.#next++);
    }
    return ready;
  }

  /** Frees the memory of the numbers, once nothing is read any more: Dawn ends a process that leaves a promise of it open. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.#reading.catch(() => {});
    this.#history[Symbol.dispose]();
  }
}

/** Single numbers that the GPU computed, gathered until they are read together; meanwhile others are gathered in a second tensor. */
class History implements Disposable {
  readonly #gpu: Gpu;
  readonly #tensors: [Tensor, Tensor];
  #count = 0;

  constructor(gpu: Gpu, capacity: number) {
    this.#gpu = gpu;
    const tensor = () => gpu.tensor([capacity], { label: "losses and norms" });
    this.#tensors = [tensor(), tensor()];
  }

  /** Copies a tensor's first number; @returns its place among the numbers that are read next */
  keep(tensor: Tensor): number {
    const at = this.#count++;
    this.#gpu.run({ from: tensor.view([1]), to: this.#tensors[0].view([1], 4 * at) });
    return at;
  }

  async read(): Promise<Float32Array> {
    if (this.#count === 0) return new Float32Array(0);
    const numbers = this.#gpu.readFloats(this.#tensors[0].view([this.#count]));
    this.#tensors.reverse();
    this.#count = 0;
    return await numbers;
  }

  [Symbol.dispose](): void {
    this.#gpu.destroy(...this.#tensors);
  }
}
