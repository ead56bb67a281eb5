/** How many calls are under way at once. */
const AT_ONCE = 64;

/** Options of {@linkcode mapParallel}. */
export interface MapParallelOptions {
  /** Calls under way at most. Default: 64, for reading many small files. */
  atOnce?: number;
  /** Told after every call how many have ended, of how many. */
  onDone?: (done: number, total: number) => void;
  /** Ends the work before the next call. */
  signal?: AbortSignal;
}

/**
 * Maps over items with several calls under way. Results keep the order of the items.
 *
 * @param items What to map.
 * @param map Called once an item.
 * @param options See {@linkcode MapParallelOptions}.
 * @throws The first error that a call throws, or the signal's reason (an `AbortError`); no further call is started then.
 */
export async function mapParallel<T, R>(
  items: readonly T[],
  map: (item: T, index: number) => Promise<R>,
  options: MapParallelOptions = {},
): Promise<R[]> {
  const { atOnce = AT_ONCE, onDone, signal } = options;
  const results = new Array<R>(items.length);
  let next = 0;
  let done = 0;
  const work = async () => {
    while (next < items.length) {
      const index = next++;
      try {
        signal?.throwIfAborted();
        results[index] = await map(items[index], index);
        onDone?.(++done, items.length);
      } catch (error) {
        next = items.length;
        throw error;
      }
    }
  };
  await Promise.all(Array.from({ length: Math.min(atOnce, items.length) }, work));
  return results;
}
