/** Which steps are computed together: those that change different parameters, in an order that leaves every parameter's own steps in order. */
import type { TextConfig } from "../qwen2_vl/config.ts";

/**
 * Puts steps into groups that are computed one after the other. The steps that change the same thing stay in their order, so the result is
 * that of one step after the other; there are as few groups as that allows.
 *
 * @param changes what each step changes, in the steps' order
 * @param options steps of a group at most; with `inTurn`, every group is one step, and those that change the same thing follow each other
 * @returns the steps' indices by group
 * @example
 * ```ts
 * import { groupSteps } from "./step_grouping.ts";
 * console.log(groupSteps(["scene", "object", "scene", "object", "scene"], { most: 6 })); // [[0, 1], [2, 3], [4]]
 * ```
 */
export function groupSteps(changes: readonly string[], options: { most: number; inTurn?: boolean }): number[][] {
  const { most, inTurn } = options;
  const queues = [...Map.groupBy(changes.keys(), (step) => changes[step]).values()];
  if (inTurn) return queues.flat().map((step) => [step]);
  const groups: number[][] = [];
  for (let left = changes.length; left > 0; left -= groups.at(-1)!.length) {
    const longest = queues.filter((queue) => queue.length > 0).sort((a, b) => b.length - a.length || a[0] - b[0]);
    groups.push(longest.slice(0, Math.max(1, most)).map((queue) => queue.shift()!).sort((a, b) => a - b));
  }
  return groups;
}

/** Bytes that a pass may keep for its way back. */
const BYTES = 2 ** 30;

/** Rows of a sample, in most cases. */
const ROWS = 48;

/**
 * How many samples of stage 1 can share a pass.
 *
 * @param options whether layers are computed again in the backward pass, and so keep less
 */
export function stepsInMemory(text: TextConfig, options: { recompute?: boolean } = {}): number {
  const { hidden: D, heads, kvHeads, headDim, intermediate, layers } = text;
  const layer = 2 * D + (2 * heads + 2 * kvHeads) * headDim + 2 * intermediate;
  const row = 4 * (options.recompute ? layers * D + 3 * layer : layers * layer);
  return Math.max(1, Math.floor(BYTES / (row * ROWS)));
}
