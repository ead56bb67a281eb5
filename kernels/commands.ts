/** Commands on their way to the GPU. */
import type { Gpu } from "./gpu.ts";

/**
 * Operations after which recorded commands are submitted: operating systems take a GPU for hung when one submission keeps it busy for some
 * seconds (2 on Windows), and this much is done within one by any that computes 1 TFLOP/s. Each submission costs some 0.1 ms.
 */
export const FLOPS_PER_SUBMIT = 1e12;

/** Records commands in their order and submits them, in several parts where they are many. */
export class Commands {
  readonly #gpu: Gpu;
  #encoder?: GPUCommandEncoder;
  #pass?: GPUComputePassEncoder;
  #flops = 0;

  /** No commands yet. */
  constructor(gpu: Gpu) {
    this.#gpu = gpu;
  }

  /** For copies, outside of a pass. */
  get encoder(): GPUCommandEncoder {
    this.#pass?.end();
    this.#pass = undefined;
    return this.#encoder ??= this.#gpu.device.createCommandEncoder();
  }

  /** For dispatches. */
  get pass(): GPUComputePassEncoder {
    return this.#pass ??= this.encoder.beginComputePass();
  }

  /** Says that commands with so many floating-point operations were recorded: enough of them are submitted. */
  recorded(flops: number): void {
    this.#flops += flops;
    if (this.#flops >= FLOPS_PER_SUBMIT) this.submit();
  }

  /** Submits what was recorded. Does not wait. */
  submit(): void {
    this.#gpu.submit(this.encoder);
    this.#encoder = undefined;
    this.#flops = 0;
  }
}
