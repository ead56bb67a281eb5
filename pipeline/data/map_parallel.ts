/** How many files are open at once. */
const AT_ONCE = 64;

/**
 * Maps over items with up to 64 calls under way, for reading many small files. Results keep the order of the items.
 *
 * @throws The first error that a call throws; no further call is started then.
 */
export async function mapParallel<T, R>(items: readonly T[], map: (item: T, index: number) => Promise<R>): Promise<R[]> {
  const results = new Array<R>(items.length);
  let next = 0;
  const work = async () => {
    while (next < items.length) {
      const index = next++;
      try {
        results[index] = await map(items[index], index);
      } catch (error) {
        next = items.length;
        throw error;
      }
    }
  };
  await Promise.all(Array.from({ length: Math.min(AT_ONCE, items.length) }, work));
  return results;
}
