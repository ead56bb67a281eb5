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
  #running?: Promise<void>;
  #closed = false;

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

  /**
   * Runs a job when its turn comes.
   *
   * @returns what the job returns
   * @throws {HttpError} 503 when the line is full or the queue is closed; 499 when the signal came first; otherwise what the job throws
   */
  add<T>(job: () => Promise<T>, options: AddJobOptions = {}): Promise<T> {
    const { onPosition, signal } = options;
    if (this.#closed) return Promise.reject(closing());
    if (signal?.aborted) return Promise.reject(gone());
    if (this.running && this.waiting >= this.limit) {
      const message = `The queue is full: one picture is being read and ${this.waiting} are waiting, which is the limit; try again soon`;
      return Promise.reject(new HttpError(503, message, { headers: { "Retry-After": "2" } }));
    }
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
    this.#closed = true;
    for (const { refuse } of this.#line.splice(0)) refuse(closing());
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

function closing(): HttpError {
  return new HttpError(503, "The server is closing; start it again with deno task serve");
}

function gone(): HttpError {
  return new HttpError(499, "The request was taken back");
}
