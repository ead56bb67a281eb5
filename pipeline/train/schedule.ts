/** Learning rates over the steps, as in Hugging Face's Trainer. */

/** Shape of the schedule behind the warm-up. */
export type ScheduleType = "linear" | "cosine" | "constant" | "constant_with_warmup";

/** Options of {@linkcode learningRateAt}. */
export interface Schedule {
  /** The highest rate. */
  learningRate: number;
  /** Steps of the whole training. */
  totalSteps: number;
  /** Part of the steps in which the rate rises; rounded up to whole steps. */
  warmupRatio: number;
  /** Shape; linear when left out. */
  type?: ScheduleType;
}

/**
 * The rate of a step, counted from 0. With a warm-up the first step has rate 0.
 *
 * @example
 * ```ts
 * import { learningRateAt } from "./schedule.ts";
 * const schedule = { learningRate: 1, totalSteps: 12, warmupRatio: 0.03 };
 * console.assert(learningRateAt(0, schedule) === 0 && learningRateAt(1, schedule) === 1);
 * ```
 */
export function learningRateAt(step: number, schedule: Schedule): number {
  const { learningRate, totalSteps, warmupRatio, type = "linear" } = schedule;
  if (type === "constant") return learningRate;
  const warmup = Math.ceil(totalSteps * warmupRatio);
  if (step < warmup) return learningRate * step / Math.max(1, warmup);
  if (type === "constant_with_warmup") return learningRate;
  const progress = (step - warmup) / Math.max(1, totalSteps - warmup);
  if (type === "cosine") return learningRate * Math.max(0, 0.5 * (1 + Math.cos(Math.PI * progress)));
  return learningRate * Math.max(0, (totalSteps - step) / Math.max(1, totalSteps - warmup));
}
