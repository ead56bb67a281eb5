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

/** So much memory may lie idle before it is given back, and this share of what a plan needs. */
const IDLE_BYTES = 64 * 2 ** 20;
const IDLE_SHARE = 1 / 4;

/** Buffers handed out to scratch storages whose lifetimes do not overlap. */
export class ScratchPool {
  readonly #gpu: Gpu;
  #buffers: GPUBuffer[] = [];
  #largest = 0;
  #layout = 0;

  /** An empty pool. */
  constructor(gpu: Gpu) {
    this.#gpu = gpu;
  }

  /**
   * Gives every storage a buffer. Two storages of one plan share a buffer only when one is dead before the other is born;
   * storages of different plans share freely.
   *
   * A plan that needs more than any before it leaves the buffers that were too small for it unused. Where they are many they are freed, and
   * {@linkcode layout} changes: plans that were placed before have to be placed again.
   */
  place(lifetimes: readonly Lifetime[]): void {
    const slots: Slot[] = this.#buffers.map((buffer) => ({ size: buffer.size, buffer, busyUntil: -1 }));
    const places: [Storage, Slot][] = [];
    for (const { storage, first, last } of [...lifetimes].sort((a, b) => a.first - b.first || b.storage.bytes - a.storage.bytes)) {
      const wanted = roundUp(storage.bytes);
      let best: Slot | undefined;
      for (const slot of slots) {
        const fits = slot.size >= storage.bytes && (slot.size <= 4 * wanted || slot.size <= 65536);
        if (fits && slot.busyUntil < first && (!best || slot.size < best.size)) best = slot;
      }
      if (!best) slots.push(best = { size: wanted, busyUntil: -1 });
      best.busyUntil = last;
      places.push([storage, best]);
    }
    const used = slots.filter(({ busyUntil }) => busyUntil >= 0);
    const needed = total(used);
    if (needed > this.#largest) {
      this.#largest = needed;
      if (total(slots) - needed > Math.max(IDLE_BYTES, IDLE_SHARE * needed)) this.#keep(new Set(used.map(({ buffer }) => buffer)));
    }
    for (const [storage, slot] of places) {
      if (!slot.buffer) this.#buffers.push(slot.buffer = this.#gpu.buffer(slot.size, `scratch for ${storage.label}`));
      storage.buffer = slot.buffer;
    }
  }

  /** Frees all buffers; plans that were placed have to be placed again. */
  clear(): void {
    this.#largest = 0;
    this.#keep(new Set());
  }

  /** Number of times that buffers were freed; storages placed before the last time have to be placed again. */
  get layout(): number {
    return this.#layout;
  }

  /** Bytes of all scratch buffers. */
  get bytes(): number {
    return total(this.#buffers);
  }

  #keep(used: ReadonlySet<GPUBuffer | undefined>): void {
    for (const buffer of this.#buffers) if (!used.has(buffer)) this.#gpu.release(buffer);
    this.#buffers = this.#buffers.filter((buffer) => used.has(buffer));
    this.#layout++;
  }
}

/** A buffer, or one to be made. */
interface Slot {
  size: number;
  buffer?: GPUBuffer;
  /** Index of the last step that needs it; -1 for none. */
  busyUntil: number;
}

function total(buffers: readonly { size: number }[]): number {
  return buffers.reduce((sum, { size }) => sum + size, 0);
}

/** Sizes in steps of an eighth of a power of two, so that plans of nearly the same size share buffers. */
function roundUp(bytes: number): number {
  const step = Math.max(256, 2 ** Math.floor(Math.log2(Math.max(bytes, 1)) - 3));
  return Math.ceil(bytes / step) * step;
}
