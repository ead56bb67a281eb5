/** Scratch memory: buffers that the plans of a device share, since plans run one after the other. */
import type { Gpu } from "./gpu.ts";
import type { Storage } from "./tensor.ts";

/** When a scratch storage of a plan holds something: from the first step that touches it to the last. */
export interface Lifetime {
  /** The storage. */
  readonly storage: Storage;
  /** Index of the first step that binds it. */
  readonly first: number;
  /** Index of the last step that binds it. */
  last: number;
}

/** Buffers handed out to scratch storages whose lifetimes do not overlap. */
export class ScratchPool {
  readonly #gpu: Gpu;
  readonly #buffers: GPUBuffer[] = [];

  /** An empty pool. */
  constructor(gpu: Gpu) {
    this.#gpu = gpu;
  }

  /**
   * Gives every storage a buffer. Two storages of one plan share a buffer only when one is dead before the other is born;
   * storages of different plans share freely.
   */
  place(lifetimes: readonly Lifetime[]): void {
    const busyUntil = new Map<GPUBuffer, number>();
    for (const { storage, first, last } of [...lifetimes].sort((a, b) => a.first - b.first || b.storage.bytes - a.storage.bytes)) {
      let best: GPUBuffer | undefined;
      for (const buffer of this.#buffers) {
        const fits = buffer.size >= storage.bytes && (buffer.size <= 4 * roundUp(storage.bytes) || buffer.size <= 65536);
        if (fits && (busyUntil.get(buffer) ?? -1) < first && (!best || buffer.size < best.size)) best = buffer;
      }
      if (!best) {
        best = this.#gpu.buffer(roundUp(storage.bytes), `scratch for ${storage.label}`);
        this.#buffers.push(best);
      }
      busyUntil.set(best, last);
      storage.buffer = best;
    }
  }

  /** Bytes of all scratch buffers. */
  get bytes(): number {
    return this.#buffers.reduce((sum, buffer) => sum + buffer.size, 0);
  }
}

/** Sizes in steps of an eighth of a power of two, so that plans of nearly the same size share buffers. */
function roundUp(bytes: number): number {
  const step = Math.max(256, 2 ** Math.floor(Math.log2(Math.max(bytes, 1)) - 3));
  return Math.ceil(bytes / step) * step;
}
