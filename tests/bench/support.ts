/** What the benchmarks share. */
import type { LoadQwen2VlOptions } from "../../pipeline/load.ts";

/** What a benchmark is told. */
export interface BenchOptions {
  /** Checkpoint folder. */
  model: string;
  /** Data set with annotations. */
  data: string;
  /** Steps that are measured. */
  steps: number;
  /** Whether time by kernel is wanted. */
  profile: boolean;
  /** Number type of the weights on the GPU. */
  weights?: LoadQwen2VlOptions["weights"];
}

/** The middle of the sorted values. */
export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted.length ? (sorted[Math.floor((sorted.length - 1) / 2)] + sorted[Math.floor(sorted.length / 2)]) / 2 : NaN;
}
