/** What goes wrong on a device: told asynchronously, kept until somebody asks. */

/** Something went wrong on the GPU: no adapter, out of memory, a lost device, a shader that does not compile. */
export class GpuError extends Error {
  /** The class's name. */
  override name = "GpuError";
}

/** So long a failed wait listens for the device's own account of what went wrong. */
const REPORT_MS = 1000;

/** Faults of one device. */
export class Faults {
  #fault?: GpuError;
  #reported = Promise.withResolvers<void>();
  #lost?: string;
  readonly #loss = Promise.withResolvers<string>();

  /** Listens to a device until `ended` says that its end is wanted. */
  constructor(device: GPUDevice, ended: () => boolean) {
    device.addEventListener("uncapturederror", (event) => {
      event.preventDefault();
      const { error } = event as GPUUncapturedErrorEvent;
      const kind = error.constructor.name === "GPUOutOfMemoryError" ? "Out of GPU memory" : "GPU error";
      this.#report(new GpuError(`${kind}: ${error.message.trim()}`));
    });
    device.lost.then(({ reason, message }) => {
      if (ended()) return;
      this.#lost = `The GPU was lost (${reason}): ${message.trim().replace(/\.$/, "")}.`;
      this.#fault = undefined; // whatever was told before came of it, or matters no more
      this.#report(new GpuError(`${this.#lost} Start again with --resume; finished checkpoints are in place.`));
      this.#loss.resolve(this.#lost);
    });
  }

  /** Why the device is lost, in a sentence; `undefined` while it is there. */
  get lost(): string | undefined {
    return this.#lost;
  }

  /** Fulfilled with {@linkcode lost} when the device is lost. */
  get whenLost(): Promise<string> {
    return this.#loss.promise;
  }

  /** Throws the first fault that was told. @throws {GpuError} */
  check(): void {
    if (this.#fault) throw this.#fault;
  }

  /**
   * The result of a wait on the device. Where it fails, the device's own report says why, and may come a moment later.
   *
   * @throws {GpuError}
   */
  async settled<T>(wait: Promise<T>): Promise<T> {
    try {
      return await wait;
    } catch (error) {
      const enough = Promise.withResolvers<void>();
      const timer = setTimeout(enough.resolve, REPORT_MS);
      await Promise.race([this.#reported.promise, enough.promise]);
      clearTimeout(timer);
      this.check();
      throw new GpuError(`GPU error: ${(error as Error).message}`, { cause: error });
    }
  }

  /** Forgets what was told. @returns whether the device can be used on: not when it is lost */
  forget(): boolean {
    if (this.#lost !== undefined) return false;
    this.#fault = undefined;
    this.#reported = Promise.withResolvers();
    return true;
  }

  #report(fault: GpuError): void {
    this.#fault ??= fault;
    this.#reported.resolve();
  }
}
