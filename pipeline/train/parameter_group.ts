/** A flat tensor of parameters with its AdamW moments and its own count of updates. */
import { adamW, hyperValues } from "../../kernels/adamw/adamw.ts";
import { adamW8bit, type AdamW8bitState, adamW8bitState, keeps32Bit } from "../../kernels/adamw_8bit/adamw_8bit.ts";
import type { Gpu } from "../../kernels/gpu.ts";
import type { Plan } from "../../kernels/plan.ts";
import type { Tensor } from "../../kernels/tensor.ts";
import type { TensorData } from "../checkpoint/tensor_data.ts";

/** Settings of one update. */
export interface UpdateSettings {
  /** Rate. */
  learningRate: number;
  /** Decay rates of the moments. */
  betas: readonly [number, number];
  /** Added to the root of the second moment. */
  eps: number;
  /** Decoupled weight decay. */
  weightDecay: number;
}

/** Options of {@linkcode ParameterGroup}. */
export interface ParameterGroupOptions {
  /** The parameters, f32. */
  parameter: Tensor;
  /** Keep the moments in 8 bits where the tensor is large enough for it. */
  eightBit?: boolean;
}

/** Moments in host memory. */
export interface ParkedMoments {
  /** Updates so far. */
  readonly updates: number;
  /** The moments' tensors, in their order. */
  readonly bytes: readonly Uint8Array[];
}

/** See the module's text. */
export class ParameterGroup implements Disposable {
  /** The parameters. */
  readonly parameter: Tensor;
  readonly #gpu: Gpu;
  readonly #hyper: Tensor;
  readonly #moments: { kind: "32-bit"; tensors: { m: Tensor; v: Tensor } } | { kind: "8-bit"; tensors: AdamW8bitState };
  #updates = 0;

  /** Makes moments, all zero. */
  constructor(gpu: Gpu, options: ParameterGroupOptions) {
    const { parameter, eightBit = false } = options;
    const like = (what: string) => gpu.tensor(parameter.shape, { label: `${what} of ${parameter.label}` });
    this.#gpu = gpu;
    this.parameter = parameter;
    this.#hyper = gpu.tensor([8], { label: "optimizer settings" });
    this.#moments = eightBit && !keeps32Bit(parameter.size)
      ? { kind: "8-bit", tensors: adamW8bitState(gpu, { size: parameter.size }) }
      : { kind: "32-bit", tensors: { m: like("first moment"), v: like("second moment") } };
  }

  /** Records the update with a gradient of the parameters' shape; `norm` is the result of `gradientNorm`. */
  recordUpdate(plan: Plan, { gradient, norm }: { gradient: Tensor; norm: Tensor }): void {
    const shared = { parameter: this.parameter, gradient, hyper: this.#hyper, norm };
    if (this.#moments.kind === "32-bit") adamW(plan, { ...shared, ...this.#moments.tensors });
    else adamW8bit(plan, { ...shared, state: this.#moments.tensors });
  }

  /** Counts the update and writes its settings; call it before the recorded update runs. */
  prepare(settings: UpdateSettings): void {
    this.#updates++;
    this.#gpu.write(this.#hyper, hyperValues({ ...settings, step: this.#updates }));
  }

  /** Moments and count, to be put back later: so several parameters can use the same memory one after the other. */
  async park(): Promise<ParkedMoments> {
    return { updates: this.#updates, bytes: await this.#gpu.read(...Object.values(this.#moments.tensors) as Tensor[]) };
  }

  /** Puts moments and count back. */
  unpark({ updates, bytes }: ParkedMoments): void {
    this.#updates = updates;
    (Object.values(this.#moments.tensors) as Tensor[]).forEach((tensor, i) => this.#gpu.write(tensor, bytes[i]));
  }

  /** Parameters, moments and count under `name`. */
  async state(name: string): Promise<Record<string, TensorData>> {
    const moments = Object.entries(this.#moments.tensors) as [string, Tensor][];
    const bytes = await this.#gpu.read(this.parameter, ...moments.map(([, tensor]) => tensor));
    const result: Record<string, TensorData> = { [`${name}.updates`]: { dtype: "I32", shape: [1], data: Int32Array.of(this.#updates) } };
    [["parameter", this.parameter] as const, ...moments].forEach(([part, tensor], i) => {
      const floats = tensor.dtype === "f32";
      const data = floats ? new Float32Array(bytes[i].buffer) : new Uint32Array(bytes[i].buffer);
      result[`${name}.${part}`] = { dtype: floats ? "F32" : "U32", shape: [...tensor.shape], data };
    });
    return result;
  }

  /** Puts a state back. */
  restore(tensors: Readonly<Record<string, TensorData>>, name: string): void {
    this.#updates = Number(tensors[`${name}.updates`].data[0]);
    for (const [part, tensor] of [["parameter", this.parameter], ...Object.entries(this.#moments.tensors)] as [string, Tensor][]) {
      this.#gpu.write(tensor, tensors[`${name}.${part}`].data);
    }
  }

  /** Frees the moments; the parameters stay. */
  [Symbol.dispose](): void {
    this.#gpu.destroy(this.#hyper, ...Object.values(this.#moments.tensors) as Tensor[]);
  }
}
