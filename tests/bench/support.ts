/** What the benchmarks share. */
import type { Plan, ProfileEntry } from "../../kernels/plan.ts";

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
}

/** The middle of the sorted values. */
export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted.length ? (sorted[Math.floor((sorted.length - 1) / 2)] + sorted[Math.floor(sorted.length / 2)]) / 2 : NaN;
}

/** Prints milliseconds by kernel, the largest first. */
export async function printProfile(plans: readonly Plan[]): Promise<void> {
  const entries: ProfileEntry[] = [];
  for (const plan of plans) {
    await plan.profile(); // warm
    entries.push(...await plan.profile());
  }
  const kernels = Map.groupBy(entries, ({ label }) => label);
  const rows = [...kernels].map(([label, all]) => ({
    label,
    count: all.length,
    ms: all.reduce((sum, { milliseconds }) => sum + milliseconds, 0),
  }));
  for (const { label, count, ms } of rows.sort((a, b) => b.ms - a.ms)) {
    console.log(`  ${label.padEnd(34)} ${String(count).padStart(4)} ${ms.toFixed(2).padStart(8)} ms`);
  }
  console.log(
    `  ${"all".padEnd(34)} ${String(entries.length).padStart(4)} ${rows.reduce((sum, { ms }) => sum + ms, 0).toFixed(2).padStart(8)} ms`,
  );
}
