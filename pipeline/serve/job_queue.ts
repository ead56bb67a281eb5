/** One job at a time, the others in a line of limited length. */
import { HttpError } from "./http_error.ts";

/** Options of {@linkcode JobQueue.add}. */
export interface AddJobOptions {
  /** Told how many jobs are before this one, at once and whenever it changes; 0 when it begins. */
  onPosition?: (ahead: number) => void;
  /** Takes the job out of the line; a job that has begun goes on. */
  signal?: AbortSignal;
}

interface Waiting {
  begin: () => Promise<void>;
  refuse: (error: Error) => void;
  onPosition?: (ahead: number) => void;
}

/** Runs jobs one after the other, in the order in which they came. */
export class JobQueue {
  /** How many may wait beside the one that runs. */
  readonly limit: number;
  readonly #line: Waiting[] = [];
  readonly #closing = new AbortController();
  #places = 0;
  #running?: Promise<void>;

  /** @param options `limit`: how many may wait beside the one that runs */
  constructor(options: { limit: number }) {
    this.limit = options.limit;
  }

  /** Whether a job runs. */
  get running(): boolean {
    return this.#running !== undefined;
  }

  /** Jobs that wait. */
  get waiting(): number {
    return this.#line.length;
  }

  /** Aborted when the queue is closed, with the error that everything is refused with. */
  get closing(): AbortSignal {
    return this.#closing.signal;
  }

  /**
   * Takes a place for a job before what it needs is there: as many as may wait and run have one. Dispose of it when the job is done.
   *
   * @throws {HttpError} 503 when all places are taken or the queue is closed
   */
  reserve(): Disposable {
    this.#closing.signal.throwIfAborted();
    if (this.#places > this.limit) {
      const message =
        `The queue is full: ${this.#places} pictures are being sent, wait or are being read, which is the limit; try again soon`;
      throw new HttpError(503, message, { headers: { "Retry-After": "2" } });
    }
    this.#places++;
    let held = true;
    return {
      [Symbol.dispose]: () => {
        if (held) this.#places--;
        held = false;
      },
    };
  }

  /**
   * Runs a job when its turn comes; {@linkcode reserve} a place for it first.
   *
   * @returns what the job returns
   * @throws {HttpError} 503 when the queue is closed; 499 when the signal came first; otherwise what the job throws
   */
  add<T>(job: () => Promise<T>, options: AddJobOptions = {}): Promise<T> {
    const { onPosition, signal } = options;
    if (this.closing.aborted) return Promise.reject(this.closing.reason);
    if (signal?.aborted) return Promise.reject(gone());
    const { promise, resolve, reject } = Promise.withResolvers<T>();
    const entry: Waiting = { begin: () => job().then(resolve, reject), refuse: reject, onPosition };
    const leave = () => {
      const place = this.#line.indexOf(entry);
      if (place < 0) return;
      this.#line.splice(place, 1);
      reject(gone());
      this.#tell();
    };
    signal?.addEventListener("abort", leave, { once: true });
    this.#line.push(entry);
    if (this.running) onPosition?.(this.waiting);
    else this.#next();
    return promise.finally(() => signal?.removeEventListener("abort", leave));
  }

  /** Refuses everything that waits and that comes, and waits for the job that runs. */
  async close(): Promise<void> {
    const reason = new HttpError(503, "The server is closing; start it again with deno task serve");
    if (!this.closing.aborted) this.#closing.abort(reason);
    for (const { refuse } of this.#line.splice(0)) refuse(reason);
    await this.#running;
  }

  #next(): void {
    const entry = this.#line.shift();
    if (!entry) return;
    entry.onPosition?.(0);
    this.#running = entry.begin().then(() => {
      this.#running = undefined;
      this.#next();
    });
    this.#tell();
  }

  #tell(): void {
    this.#line.forEach(({ onPosition }, i) => onPosition?.(i + 1));
  }
}

function gone(): HttpError {
  return new HttpError(499, "The request was taken back");
}
