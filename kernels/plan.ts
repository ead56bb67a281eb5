/**
 * A plan is a fixed list of dispatches on fixed tensors, recorded once for a shape and encoded again at each run: no pipeline, bind
 * group or buffer is created after the first run. What changes from run to run (token ids, rates, positions) lies in tensors.
 */
import type { Lifetime } from "./arena.ts";
import type { Gpu } from "./gpu.ts";
import type { Kernel, KernelSource } from "./kernel.ts";
import { bytesOf, type DType, Storage, Tensor } from "./tensor.ts";

/** One dispatch as an op records it. */
export interface Dispatch {
  /** Tensors by the names of the kernel's storage bindings. A binding that the WGSL has and this lacks is an error. */
  tensors: Readonly<Record<string, Tensor>>;
  /** Members of the kernel's uniform `params`. */
  params?: Readonly<Record<string, number>>;
  /** Workgroups in x, y, z. */
  workgroups: readonly [number, number?, number?];
}

type Step =
  | {
    kind: "dispatch";
    kernel: Kernel;
    tensors: Record<string, Tensor>;
    params?: Record<string, number>;
    workgroups: [number, number, number];
  }
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
  /** Members of its uniform `params`. */
  params: Readonly<Record<string, number>>;
}

/** A fixed list of dispatches; see the module's text. */
export class Plan implements Disposable {
  readonly #steps: Step[] = [];
  readonly #own: Tensor[] = [];
  #bindGroups?: GPUBindGroup[];
  #params?: GPUBuffer;

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
    this.#steps.push({ kind: "dispatch", kernel, tensors: { ...dispatch.tensors }, params: { ...dispatch.params }, workgroups: [x, y, z] });
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

  /** Encodes the whole plan; memory and bind groups are made at the first call. */
  encode(encoder: GPUCommandEncoder): void {
    this.#build();
    let pass: GPUComputePassEncoder | undefined;
    this.#steps.forEach((step, i) => {
      if (step.kind === "dispatch") {
        pass ??= encoder.beginComputePass({ label: this.label });
        pass.setPipeline(step.kernel.pipeline);
        pass.setBindGroup(0, this.#bindGroups![i]);
        pass.dispatchWorkgroups(...step.workgroups);
        this.gpu.counters.dispatches++;
      } else {
        pass?.end();
        pass = undefined;
        this.#encodeTransfer(encoder, step);
      }
    });
    pass?.end();
  }

  /** Encodes and submits. Does not wait. */
  run(): void {
    const encoder = this.gpu.device.createCommandEncoder({ label: this.label });
    this.encode(encoder);
    this.gpu.submit(encoder);
  }

  /**
   * Runs with a time stamp around every dispatch.
   *
   * @throws {Error} when the adapter has no `timestamp-query`
   */
  async profile(): Promise<ProfileEntry[]> {
    this.#build();
    const { device } = this.gpu;
    if (!this.gpu.has("timestamp-query")) throw new Error("This adapter has no timestamp-query: no profile.");
    const dispatches = this.#steps.filter((step) => step.kind === "dispatch");
    const chunk = 2048; // queries of one set: at most 4096
    const sets = Array.from(
      { length: Math.ceil(dispatches.length / chunk) },
      () => device.createQuerySet({ type: "timestamp", count: 2 * chunk }),
    );
    const times = this.gpu.tensor([2 * chunk * sets.length, 2], { dtype: "u32", label: "time stamps" });
    const resolved = device.createBuffer({ size: 16 * chunk * sets.length, usage: GPUBufferUsage.QUERY_RESOLVE | GPUBufferUsage.COPY_SRC });
    const encoder = device.createCommandEncoder({ label: this.label });
    let n = 0;
    this.#steps.forEach((step, i) => {
      if (step.kind !== "dispatch") return this.#encodeTransfer(encoder, step);
      const querySet = sets[Math.floor(n / chunk)];
      const at = 2 * (n++ % chunk);
      const pass = encoder.beginComputePass({ timestampWrites: { querySet, beginningOfPassWriteIndex: at, endOfPassWriteIndex: at + 1 } });
      pass.setPipeline(step.kernel.pipeline);
      pass.setBindGroup(0, this.#bindGroups![i]);
      pass.dispatchWorkgroups(...step.workgroups);
      pass.end();
    });
    sets.forEach((set, i) => encoder.resolveQuerySet(set, 0, 2 * chunk, resolved, 16 * chunk * i));
    encoder.copyBufferToBuffer(resolved, 0, times.storage.buffer!, 0, resolved.size);
    this.gpu.submit(encoder);
    const stamps = new BigUint64Array((await this.gpu.read(times))[0].buffer);
    resolved.destroy();
    sets.forEach((set) => set.destroy());
    this.gpu.destroy(times);
    return dispatches.map(({ kernel: { label }, tensors, params = {} }, i) => {
      const milliseconds = Number(stamps[2 * i + 1] - stamps[2 * i]) / 1e6;
      return { label, milliseconds, tensors, params };
    });
  }

  /** Frees the plan's own tensors and its parameters. */
  [Symbol.dispose](): void {
    this.gpu.destroy(...this.#own.splice(0));
    if (this.#params) this.gpu.release(this.#params);
    this.#params = undefined;
    this.#bindGroups = undefined;
    this.#steps.length = 0;
  }

  #recording(): void {
    if (this.#bindGroups) throw new Error(`${this.label}: the plan was built already; record everything before the first run`);
  }

  #encodeTransfer(encoder: GPUCommandEncoder, step: Exclude<Step, { kind: "dispatch" }>): void {
    if (step.kind === "copy") {
      encoder.copyBufferToBuffer(bufferOf(step.from), step.from.offset, bufferOf(step.to), step.to.offset, step.bytes);
    } else encoder.clearBuffer(bufferOf(step.tensor), step.tensor.offset, step.tensor.bytes);
  }

  #build(): void {
    if (this.#bindGroups) return;
    this.gpu.scratch.place(this.#lifetimes());
    const { device } = this.gpu;
    const align = Math.max(device.limits.minUniformBufferOffsetAlignment, 16);
    const starts: number[] = [];
    let total = 0;
    for (const step of this.#steps) {
      starts.push(total);
      if (step.kind === "dispatch" && step.kernel.paramsBinding >= 0) total += Math.ceil(step.kernel.paramsBytes / align) * align;
    }
    const bytes = new ArrayBuffer(Math.max(total, 16));
    this.#params = this.gpu.buffer(bytes.byteLength, `${this.label} parameters`, GPUBufferUsage.UNIFORM | GPUBufferUsage.COPY_DST);
    this.#bindGroups = this.#steps.map((step, i) => {
      if (step.kind !== "dispatch") return undefined as unknown as GPUBindGroup;
      const { kernel } = step;
      const entries: GPUBindGroupEntry[] = kernel.bindings.map(({ name, binding }) => {
        const tensor = step.tensors[name];
        return {
          binding,
          resource: { buffer: bufferOf(tensor), offset: tensor.offset, size: Math.max(16, Math.ceil(tensor.bytes / 16) * 16) },
        };
      });
      if (kernel.paramsBinding >= 0) {
        kernel.packParams(step.params ?? {}, new DataView(bytes, starts[i], kernel.paramsBytes));
        entries.push({ binding: kernel.paramsBinding, resource: { buffer: this.#params!, offset: starts[i], size: kernel.paramsBytes } });
      }
      this.gpu.counters.bindGroups++;
      return device.createBindGroup({ label: kernel.label, layout: kernel.layout, entries });
    });
    device.queue.writeBuffer(this.#params, 0, bytes);
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
