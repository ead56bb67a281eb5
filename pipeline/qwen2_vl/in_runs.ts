/** What follows each other, cut into runs that are computed in one pass. */

/**
 * Runs of items whose sizes add up to at most `most`; an item that is larger is a run of its own.
 *
 * @example
 * ```ts
 * import { inRuns } from "./in_runs.ts";
 * console.log(inRuns([3, 4, 9, 1, 2], { most: 8, size: (item) => item })); // [[3, 4], [9], [1, 2]]
 * ```
 */
export function inRuns<T>(items: readonly T[], options: { most: number; size: (item: T) => number }): T[][] {
  const runs: T[][] = [];
  let sum = Infinity;
  for (const item of items) {
    const size = options.size(item);
    if (sum + size > options.most) {
      runs.push([]);
      sum = 0;
    }
    runs.at(-1)!.push(item);
    sum += size;
  }
  return runs;
}
