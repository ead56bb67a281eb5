/**
 * The GPU as the rest of the program sees it: a device with every limit that the adapter gives, buffers, counters,
 * and errors that name the buffer or the shader they come from.
 */
import { Commands } from "./commands.ts";
import { Faults, GpuError } from "./faults.ts";
import { Kernel, type KernelSource } from "./kernel.ts";
import { bytesOf, type DType, Storage, Tensor } from "./tensor.ts";
import type { AttentionKernel } from "./attention/operands.ts";
import type { ProductKernel } from "./linear/product_choice.ts";
import type { Plan, ProfileEntry } from "./plan.ts";
import { noAdapterMessage } from "./no_adapter.ts";
import { type SubgroupMatrixShape, subgroupMatrixShapes } from "./subgroup_matrix.ts";
import { encodeCopy, readTensors, type TensorCopy, uploadBytes } from "./transfer.ts";
import { ScratchPool } from "./arena.ts";
import type { GpuCounters, GpuMark, RequestGpuOptions } from "./gpu_options.ts";

export type { GpuCounters, GpuMark, RequestGpuOptions } from "./gpu_options.ts";

export { GpuError };

/** Reports of errors may come so much later than the end of the work. */
const LATE_MS = 20;
const WANTED_FEATURES = ["shader-f16", "timestamp-query", "chromium-experimental-subgroup-matrix"] as GPUFeatureName[];

/**
 * Asks for a GPU with all that its adapter offers.
 *
 * @throws {GpuError} when no adapter answers or the device cannot be made.
 * @example
 * ```ts
 * import { requestGpu } from "./gpu.ts";
 * await using gpu = await requestGpu();
 * console.log(gpu.name);
 * ```
 */
export async function requestGpu(options: RequestGpuOptions = {}): Promise<Gpu> {
  const gpu = options.gpu ?? (globalThis.navigator as Navigator | undefined)?.gpu;
  const adapter = await gpu?.requestAdapter({ powerPreference: options.powerPreference ?? "high-performance" });
  if (!adapter) throw new GpuError(noAdapterMessage({ chosen: options.gpu !== undefined }));
  const requiredLimits: Record<string, number> = {};
  const limits = adapter.limits as unknown as Record<string, number>;
  for (const name in adapter.limits) {
    if (typeof limits[name] === "number" && /^max(Storage|Buffer|Uniform|Compute|Bind)/.test(name)) requiredLimits[name] = limits[name];
  }
  const features = WANTED_FEATURES.filter((feature) => adapter.features.has(feature));
  const request = (requiredFeatures: GPUFeatureName[]) => adapter.requestDevice({ requiredFeatures, requiredLimits });
  try {
    // Deno's adapters grant subgroups without listing them, so asking is the only way to know.
    const device = await request([...features, "subgroups" as GPUFeatureName]).catch(() => request(features));
    return new Gpu(device, adapter, options);
  } catch (error) {
    throw new GpuError(`The adapter "${adapter.info.description}" gives no device: ${(error as Error).message}`, { cause: error });
  }
}

/** A device, its limits, its kernels and its memory. Made by {@linkcode requestGpu}. */
export class Gpu implements AsyncDisposable {
  /** The WebGPU device. */
  readonly device: GPUDevice;
  /** The adapter in words, as "NVIDIA H100 80GB HBM3" or "llvmpipe (LLVM 15.0.6, 256 bits)". */
  readonly name: string;
  /** Whether this is a software adapter: kernels are then chosen for a CPU. */
  readonly software: boolean;
  /** Lanes of a subgroup where subgroup operations may be used and always have the same number; otherwise 0. */
  readonly subgroupSize: number;
  /** Shapes of subgroup matrices (tensor cores) that take f16 and sum in f32; empty where there are none. */
  readonly subgroupMatrices: readonly SubgroupMatrixShape[];
  /** Whether WGSL has to say `enable subgroups;` before it uses them, as the specification asks; Deno's own WebGPU refuses the line. */
  readonly enablesSubgroups: boolean;
  /** Whether products with frozen weights may round their factors to f16. */
  readonly precision: "f32" | "f16";
  /** The fastest kernels for products by `productKey`, as far as they were measured on this adapter. */
  readonly productKernels: Map<string, ProductKernel> = new Map();
  /** The same for attention, by `forwardKey` and `backwardKey`. */
  readonly attentionKernels: Map<string, AttentionKernel> = new Map();
  /** What was created and run so far. */
  readonly counters: GpuCounters = { pipelines: 0, bindGroups: 0, buffers: 0, dispatches: 0, submits: 0, bytes: 0, peakBytes: 0 };
  /** Scratch buffers that all plans of this device share. */
  readonly scratch: ScratchPool;
  /** While set, every plan runs with a time stamp around each dispatch, and its times are added here. */
  profiles?: Promise<ProfileEntry[]>[];
  /** What the device was asked for with. */
  readonly requested: RequestGpuOptions;
  readonly #kernels = new Map<string, Kernel>();
  readonly #memoryLimit: number;
  readonly #faults: Faults;
  /** Buffers that were not released, each with its number among all that were created. */
  readonly #buffers = new Map<GPUBuffer, number>();
  #disposed = false;

  /** Wraps a device; use {@linkcode requestGpu}. */
  constructor(device: GPUDevice, adapter: GPUAdapter, options: RequestGpuOptions = {}) {
    const { info } = adapter;
    this.requested = options;
    this.device = device;
    this.name = info.description || [info.vendor, info.architecture, info.device].filter(Boolean).join(" ") || "unnamed adapter";
    this.software = options.software ?? (Boolean((info as { isFallbackAdapter?: boolean }).isFallbackAdapter) ||
      /llvmpipe|swiftshader|lavapipe/i.test(this.name));
    this.precision = options.precision ?? (this.software ? "f32" : "f16");
    const { subgroupMinSize = 0, subgroupMaxSize = 1 } = info as { subgroupMinSize?: number; subgroupMaxSize?: number };
    this.subgroupSize = device.features.has("subgroups" as GPUFeatureName) && subgroupMinSize === subgroupMaxSize ? subgroupMinSize : 0;
    this.subgroupMatrices = device.features.has("chromium-experimental-subgroup-matrix" as GPUFeatureName)
      ? subgroupMatrixShapes(info)
      : [];
    this.enablesSubgroups = adapter.features.has("subgroups" as GPUFeatureName);
    this.#memoryLimit = options.memoryLimit ?? Infinity;
    this.scratch = new ScratchPool(this);
    this.#faults = new Faults(device, () => this.#disposed);
  }

  /** The largest size of one binding, in bytes. */
  get maxBindingBytes(): number {
    return Math.min(this.device.limits.maxStorageBufferBindingSize, this.device.limits.maxBufferSize);
  }

  /** Whether a WebGPU feature was granted. */
  has(feature: GPUFeatureName): boolean {
    return this.device.features.has(feature);
  }

  /**
   * A compiled kernel, from the cache where it was asked for before.
   *
   * @param source WGSL text (or several texts that are joined), with the values of its `const` declarations
   */
  kernel(source: KernelSource): Kernel {
    const key = Kernel.key(source);
    let kernel = this.#kernels.get(key);
    if (!kernel) {
      kernel = new Kernel(this, source);
      this.#kernels.set(key, kernel);
    }
    return kernel;
  }

  /**
   * A storage buffer.
   *
   * @throws {GpuError} when it is larger than the device allows or the memory is used up
   */
  buffer(bytes: number, label: string, usage = GPUBufferUsage.STORAGE | GPUBufferUsage.COPY_SRC | GPUBufferUsage.COPY_DST): GPUBuffer {
    const size = Math.max(16, Math.ceil(bytes / 16) * 16);
    if (size > this.device.limits.maxBufferSize) {
      throw new GpuError(`"${label}" needs a buffer of ${size} bytes; this adapter's largest is ${this.device.limits.maxBufferSize}.`);
    }
    if (this.counters.bytes + size > this.#memoryLimit) {
      throw new GpuError(
        `Out of GPU memory: "${label}" needs ${mib(size)} more, ${mib(this.counters.bytes)} of ${mib(this.#memoryLimit)} are in use. ` +
          "Use a smaller picture size (max_pixels), a smaller batch, or gradient_checkpointing.",
      );
    }
    const buffer = this.device.createBuffer({ label, size, usage });
    this.#buffers.set(buffer, this.counters.buffers++);
    this.counters.bytes += size;
    this.counters.peakBytes = Math.max(this.counters.peakBytes, this.counters.bytes);
    return buffer;
  }

  /** Gives a buffer's memory back, once. */
  release(buffer: GPUBuffer): void {
    if (!this.#buffers.delete(buffer)) return;
    this.counters.bytes -= buffer.size;
    buffer.destroy();
  }

  /**
   * A tensor that stays until it is destroyed.
   *
   * @param shape its dimensions
   * @param options dtype (f32 when left out), initial data (bytes or a typed array of the dtype), label
   */
  tensor(shape: readonly number[], options: { dtype?: DType; data?: ArrayBufferView; label?: string } = {}): Tensor {
    const { dtype = "f32", data, label = "tensor" } = options;
    const storage = new Storage(bytesOf(shape, dtype), label);
    storage.buffer = this.buffer(storage.bytes, label);
    const tensor = new Tensor(storage, shape, dtype);
    if (data) this.write(tensor, data);
    return tensor;
  }

  /** Writes a tensor's first bytes (in order with everything submitted so far and later). */
  write(tensor: Tensor, data: ArrayBufferView, options: { byteOffset?: number } = {}): void {
    uploadBytes(this, tensor, data, options.byteOffset ?? 0);
  }

  /** The values of several tensors, after everything submitted so far. One wait for all of them. */
  async read(...tensors: Tensor[]): Promise<Uint8Array<ArrayBuffer>[]> {
    const result = await readTensors(this, tensors);
    this.check();
    return result;
  }

  /** The values of an f32 tensor. */
  async readFloats(tensor: Tensor): Promise<Float32Array> {
    return new Float32Array((await this.read(tensor))[0].buffer);
  }

  /** Gives a tensor's memory back. Views of it are gone with it. */
  destroy(...tensors: Tensor[]): void {
    for (const { storage } of tensors) {
      if (storage.buffer) this.release(storage.buffer);
      storage.buffer = undefined;
    }
  }

  /** Submits plans and copies in their order. Does not wait. */
  run(...work: readonly (Plan | TensorCopy)[]): void {
    for (let layout = -1; layout !== this.scratch.layout;) { // until no plan has moved another's memory
      layout = this.scratch.layout;
      for (const item of work) if (!("from" in item)) item.prepare();
    }
    let commands = new Commands(this);
    for (const item of work) {
      if ("from" in item) encodeCopy(commands.encoder, item);
      else if (this.profiles) {
        commands.submit();
        const profile = item.profile();
        profile.catch(() => {}); // told to whoever awaits it
        this.profiles.push(profile);
        commands = new Commands(this);
      } else item.encode(commands);
    }
    commands.submit();
  }

  /** Submits recorded commands. */
  submit(encoder: GPUCommandEncoder): void {
    this.device.queue.submit([encoder.finish()]);
    this.counters.submits++;
  }

  /** Waits until everything submitted is done; throws what went wrong on the way. */
  async sync(): Promise<void> {
    await this.settled(this.device.queue.onSubmittedWorkDone());
    this.check();
  }

  /** The result of a wait on the device, or what the device says of its failure. @throws {GpuError} */
  settled<T>(wait: Promise<T>): Promise<T> {
    return this.#faults.settled(wait);
  }

  /**
   * Throws the first error that the device reported since it was made, or since {@linkcode recover}.
   *
   * @throws {GpuError}
   */
  check(): void {
    this.#faults.check();
  }

  /** Why the device is lost, in a sentence; `undefined` while it is there. */
  get lost(): string | undefined {
    return this.#faults.lost;
  }

  /** Fulfilled with {@linkcode lost} when the device is lost; never when it is disposed of. */
  get whenLost(): Promise<string> {
    return this.#faults.whenLost;
  }

  /** The present state, to come back to when a job fails. */
  mark(): GpuMark {
    return { kernels: this.#kernels.size, buffers: this.counters.buffers };
  }

  /**
   * Undoes a job that failed, so that the next can be done: kernels and buffers that were made since the mark are dropped, since they may be
   * invalid, and what the device reported is forgotten. Plans and tensors that were made since then must be used no more; earlier plans find
   * scratch memory anew.
   *
   * @param mark from {@linkcode mark}, before the job
   * @returns whether the device can be used on: not when it is lost
   */
  async recover({ kernels, buffers }: GpuMark): Promise<boolean> {
    await this.device.queue.onSubmittedWorkDone().catch(() => {});
    await new Promise((resolve) => setTimeout(resolve, LATE_MS)); // what the device still has to say belongs to that job
    for (const key of [...this.#kernels.keys()].slice(kernels)) this.#kernels.delete(key);
    this.scratch.clear();
    for (const [buffer, number] of this.#buffers) if (number >= buffers) this.release(buffer);
    return this.#faults.forget();
  }

  /** Ends the device and frees all its memory. */
  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#disposed) return;
    this.#disposed = true;
    await this.device.queue.onSubmittedWorkDone().catch(() => {});
    this.device.destroy();
  }
}

function mib(bytes: number): string {
  return `${(bytes / 2 ** 20).toFixed(0)} MiB`;
}
