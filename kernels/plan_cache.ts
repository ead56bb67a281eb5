/** Plans by shape, the least recently used ones freed when there are too many. */

/** A cache of things that are made once per key and disposed of when they fall out. */
export class PlanCache<T extends Disposable> implements Disposable {
  readonly #entries = new Map<string, T>();
  readonly #capacity: number;

  /** @param capacity how many are kept */
  constructor(capacity = 64) {
    this.#capacity = capacity;
  }

  /** The entry of that key, made when it is not there. */
  get(key: string, make: () => T): T {
    let entry = this.#entries.get(key);
    if (entry) this.#entries.delete(key);
    else entry = make();
    this.#entries.set(key, entry);
    for (const [oldest, old] of this.#entries) {
      if (this.#entries.size <= this.#capacity) break;
      this.#entries.delete(oldest);
      old[Symbol.dispose]();
    }
    return entry;
  }

  /** Number of entries. */
  get size(): number {
    return this.#entries.size;
  }

  /** Disposes of every entry. */
  clear(): void {
    for (const entry of this.#entries.values()) entry[Symbol.dispose]();
    this.#entries.clear();
  }

  /** The same as {@linkcode clear}. */
  [Symbol.dispose](): void {
    this.clear();
  }
}
