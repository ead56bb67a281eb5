/**
 * A plan is a fixed list of dispatches on fixed tensors, recorded once for a shape and encoded again at each run: no pipeline, bind
 * group or buffer is created after the first run, unless a larger plan has the shared scratch memory laid out anew. What changes from run to run (token ids, rates, positions) lies in tensors.
 */
import type { Lifetime } from "./arena.ts";
import type { Commands } from "./commands.ts";
import type { Gpu } from "./gpu.ts";
import type { Kernel, KernelSource } from "./kernel.ts";
import { bytesOf, type DType, Storage, Tensor } from "./tensor.ts";
import { Timestamps } from "./timestamps.ts";

/** One dispatch as an op records it. */
export interface Dispatch {
  /** Tensors by the names of the kernel's storage bindings. A binding that the WGSL has and this lacks is an error. */
  tensors: Readonly<Record<string, Tensor>>;
  /** Members of the kernel's uniform `params`. */
  params?: Readonly<Record<string, number>>;
  /** Workgroups in x, y, z. */
  workgroups: readonly [number, number?, number?];
  /** Floating-point operations, where they are many: of products and of attention (for all pairs, also masked ones). */
  flops?: number;
}

interface DispatchStep {
  kind: "dispatch";
  kernel: Kernel;
  tensors: Record<string, Tensor>;
  params?: Record<string, number>;
  workgroups: [number, number, number];
  flops: number;
}

type Step =
  | DispatchStep
  | { kind: "copy"; from: Tensor; to: Tensor; bytes: number }
  | { kind: "clear"; tensor: Tensor };

/** Time of a dispatch on the GPU. */
export interface ProfileEntry {
  /** The kernel's label. */
  label: string;
  /** Milliseconds. */
  milliseconds: number;
  /** Tensors that it reads or writes, by the names of their bindings. */
  tensors: Readonly<Record<string, Tensor>>;
  /** Its floating-point operations, 0 where nobody counts them. */
  flops: number;
}

/** A fixed list of dispatches; see the module's text. */
export class Plan implements Disposable {
  readonly #steps: Step[] = [];
  readonly #own: Tensor[] = [];
  #bindGroups?: (GPUBindGroup | undefined)[];
  #params?: GPUBuffer;
  #paramsAt: readonly number[] = [];
  /** Which layout of the scratch memory the bind groups are for, if they bind any. */
  #layout?: number;
  #disposed = false;

  /** An empty plan. */
  constructor(readonly gpu: Gpu, readonly label = "plan") {}

  /** A scratch tensor: it holds its values from the first step that writes it to the last step of this plan that uses it. */
  scratch(shape: readonly number[], options: { dtype?: DType; label?: string } = {}): Tensor {
    const { dtype = "f32", label = `${this.label} scratch` } = options;
    return new Tensor(new Storage(bytesOf(shape, dtype), label, true), shape, dtype);
  }

  /** A tensor that belongs to this plan and keeps its values between runs: inputs that the host writes, outputs that it reads. */
  persistent(shape: readonly number[], options: { dtype?: DType; label?: string; data?: ArrayBufferView } = {}): Tensor {
    const tensor = this.gpu.tensor(shape, { label: `${this.label} tensor`, ...options });
    this.#own.push(tensor);
    return tensor;
  }

  /** Records a dispatch. */
  dispatch(source: KernelSource, dispatch: Dispatch): void {
    this.#recording();
    const [x, y = 1, z = 1] = dispatch.workgroups;
    if (x === 0 || y === 0 || z === 0) return;
    const kernel = this.gpu.kernel(source);
    const limit = this.gpu.device.limits.maxComputeWorkgroupsPerDimension;
    if (x > limit || y > limit || z > limit) throw new Error(`${kernel.label}: ${x}×${y}×${z} workgroups; at most ${limit} in a dimension`);
    for (const { name } of kernel.bindings) {
      if (!dispatch.tensors[name]) throw new Error(`${kernel.label}: no tensor for the binding "${name}"`);
    }
    for (const name in dispatch.tensors) {
      if (!kernel.bindings.some((binding) => binding.name === name)) throw new Error(`${kernel.label}: its WGSL binds no "${name}"`);
    }
    if (dispatch.params) kernel.packParams(dispatch.params, new DataView(new ArrayBuffer(kernel.paramsBytes)));
    const { tensors, params, flops = 0 } = dispatch;
    this.#steps.push({ kind: "dispatch", kernel, tensors: { ...tensors }, params: { ...params }, workgroups: [x, y, z], flops });
  }

  /** Records a copy of `from`'s bytes to the start of `to`. */
  copy(from: Tensor, to: Tensor): void {
    this.#recording();
    if (from.bytes > to.bytes) {
      throw new Error(`${this.label}: "${from.label}" (${from.bytes} bytes) does not fit into "${to.label}" (${to.bytes})`);
    }
    if (from.bytes) this.#steps.push({ kind: "copy", from, to, bytes: from.bytes });
  }

  /** Records that a tensor is set to zero. */
  clear(tensor: Tensor): void {
    this.#recording();
    if (tensor.bytes) this.#steps.push({ kind: "clear", tensor });
  }

  /** Number of recorded steps. */
  get length(): number {
    return this.#steps.length;
  }

  /** Number of recorded dispatches: {@linkcode profile} has a time for each. */
  get dispatches(): number {
    return this.#steps.filter(({ kind }) => kind === "dispatch").length;
  }

  /** Makes memory, parameters and bind groups; at the first call, and again when the shared scratch memory was laid out anew. */
  prepare(): void {
    if (this.#disposed) throw new Error(`${this.label}: the plan was disposed of`);
    const { scratch } = this.gpu;
    if (this.#bindGroups && (this.#layout === undefined || this.#layout === scratch.layout)) return;
    const lifetimes = this.#lifetimes();
    if (lifetimes.length) {
      scratch.place(lifetimes);
      this.#layout = scratch.layout;
    }
    this.#params ??= this.#writeParams();
    this.#bindGroups = this.#steps.map((step, i) => step.kind === "dispatch" ? this.#bindGroup(step, this.#paramsAt[i]) : undefined);
  }

  /** Records the whole plan, which was prepared. */
  encode(commands: Commands): void {
    this.#steps.forEach((step, i) => {
      if (step.kind === "dispatch") {
        this.#encodeDispatch(commands.pass, step, i);
        this.gpu.counters.dispatches++;
        commands.recorded(step.flops);
      } else this.#encodeTransfer(commands.encoder, step);
    });
  }

  /** Prepares, records and submits. Does not wait. */
  run(): void {
    this.gpu.run(this);
  }

  /**
   * Runs with a time stamp around every dispatch.
   *
   * @throws {Error} when the adapter has no `timestamp-query`
   */
  async profile(): Promise<ProfileEntry[]> {
    this.prepare();
    const dispatches = this.#steps.filter((step) => step.kind === "dispatch");
    using stamps = new Timestamps(this.gpu, dispatches.length);
    const encoder = this.gpu.device.createCommandEncoder({ label: this.label });
    let n = 0;
    this.#steps.forEach((step, i) => {
      if (step.kind !== "dispatch") return this.#encodeTransfer(encoder, step);
      const pass = encoder.beginComputePass({ timestampWrites: stamps.of(n++) });
      this.#encodeDispatch(pass, step, i);
      pass.end();
    });
    this.gpu.submit(encoder);
    const times = await stamps.milliseconds();
    return dispatches.map(({ kernel: { label }, tensors, flops }, i) => ({ label, milliseconds: times[i], tensors, flops }));
  }

  /** Frees the plan's own tensors and its parameters. */
  [Symbol.dispose](): void {
    this.gpu.destroy(...this.#own.splice(0));
    if (this.#params) this.gpu.release(this.#params);
    this.#params = undefined;
    this.#bindGroups = undefined;
    this.#steps.length = 0;
    this.#disposed = true;
  }

  #recording(): void {
    if (this.#bindGroups) throw new Error(`${this.label}: the plan was built already; record everything before the first run`);
  }

  #encodeTransfer(encoder: GPUCommandEncoder, step: Exclude<Step, { kind: "dispatch" }>): void {
    if (step.kind === "copy") {
      encoder.copyBufferToBuffer(bufferOf(step.from), step.from.offset, bufferOf(step.to), step.to.offset, step.bytes);
    } else encoder.clearBuffer(bufferOf(step.tensor), step.tensor.offset, step.tensor.bytes);
  }

  #encodeDispatch(pass: GPUComputePassEncoder, { kernel, workgroups }: DispatchStep, i: number): void {
    pass.setPipeline(kernel.pipeline);
    pass.setBindGroup(0, this.#bindGroups![i]!);
    pass.dispatchWorkgroups(...workgroups);
  }

  /** One buffer with the parameters of all dispatches. */
  #writeParams(): GPUBuffer {
    const { device } = this.gpu;
    const align = Math.max(device.limits.minUniformBufferOffsetAlignment, 16);
    let total = 0;
    this.#paramsAt = this.#steps.map((step) => {
      const at = total;
      if (step.kind === "dispatch" && step.kernel.paramsBinding >= 0) total += Math.ceil(step.kernel.paramsBytes / align) * align;
      return at;
    });
    const bytes = new ArrayBuffer(Math.max(total, 16));
    this.#steps.forEach((step, i) => {
      if (step.kind !== "dispatch" || step.kernel.paramsBinding < 0) return;
      step.kernel.packParams(step.params ?? {}, new DataView(bytes, this.#paramsAt[i], step.kernel.paramsBytes));
    });
    const buffer = this.gpu.buffer(bytes.byteLength, `${this.label} parameters`, GPUBufferUsage.UNIFORM | GPUBufferUsage.COPY_DST);
    device.queue.writeBuffer(buffer, 0, bytes);
    return buffer;
  }

  #bindGroup({ kernel, tensors }: DispatchStep, paramsAt: number): GPUBindGroup {
    const entries: GPUBindGroupEntry[] = kernel.bindings.map(({ name, binding }) => {
      const tensor = tensors[name];
      return {
        binding,
        resource: { buffer: bufferOf(tensor), offset: tensor.offset, size: Math.max(16, Math.ceil(tensor.bytes / 16) * 16) },
      };
    });
    if (kernel.paramsBinding >= 0) {
      entries.push({ binding: kernel.paramsBinding, resource: { buffer: this.#params!, offset: paramsAt, size: kernel.paramsBytes } });
    }
    this.gpu.counters.bindGroups++;
    return this.gpu.device.createBindGroup({ label: kernel.label, layout: kernel.layout, entries });
  }

  #lifetimes(): Lifetime[] {
    const lifetimes = new Map<Storage, Lifetime>();
    this.#steps.forEach((step, i) => {
      const tensors = step.kind === "dispatch" ? Object.values(step.tensors) : step.kind === "copy" ? [step.from, step.to] : [step.tensor];
      for (const { storage } of tensors) {
        if (!storage.scratch) continue;
        const known = lifetimes.get(storage);
        if (known) known.last = i;
        else lifetimes.set(storage, { storage, first: i, last: i });
      }
    });
    return [...lifetimes.values()];
  }
}

function bufferOf(tensor: Tensor): GPUBuffer {
  if (!tensor.storage.buffer) throw new Error(`"${tensor.label}" has no memory: it was destroyed`);
  return tensor.storage.buffer;
}
