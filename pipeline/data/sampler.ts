import { seededRandom } from "./random.ts";

/** Options of {@linkcode epochOrder}. */
export interface EpochOrderOptions {
  /** Seed of the training run. */
  seed: number;
  /** Which epoch, from 0. */
  epoch: number;
}

/**
 * The samples in the order of one epoch: a shuffled copy that depends on nothing but seed and epoch, so that a run goes on at any step of any epoch
 * without drawing the earlier ones again.
 */
export function epochOrder<T>(samples: readonly T[], options: EpochOrderOptions): T[] {
  return seededRandom(options.seed, `epoch ${options.epoch}`).shuffle(samples);
}
