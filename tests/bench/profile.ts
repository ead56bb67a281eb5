/** Time by kernel from time stamps, with the work that was done and its share of what the adapter can do. */
import type { Gpu } from "../../kernels/gpu.ts";
import type { ProfileEntry } from "../../kernels/plan.ts";
import { periodOf } from "../../kernels/timestamps.ts";
import { markdownTable } from "../../pipeline/report/markdown.ts";
import { type Limits, measureLimits } from "./limits.ts";

/** Operations and bytes of a dispatch at least, as far as its tensors and parameters tell. */
export interface Work {
  /** Floating-point operations; of attention for all pairs of queries and keys, also those that a causal mask leaves out. */
  flops: number;
  /** Bytes of everything that it reads or writes, each once. */
  bytes: number;
}

/** Bindings of which a kernel reads a few rows only: as many as it writes at most, and mostly from a cache. */
const PARTLY_READ: readonly [label: RegExp, binding: string][] = [[/^gather_rows/, "source"], [/^rotary/, "table"]];

/** Kernels that sum in f16: tiled products, and attention in f16 tiles. Others round factors at most. */
const SUMS_IN_HALF = /f16 sums|tiled_half/;

/** Kernels that multiply subgroup matrices. */
const MATRICES = /subgroup.matrix/;

/** The work of a dispatch. */
export function workOf({ label, tensors, flops }: ProfileEntry): Work {
  const looked = PARTLY_READ.find(([pattern]) => pattern.test(label))?.[1];
  const bytes = Object.entries(tensors).reduce((sum, [name, tensor]) => sum + (name === looked ? 0 : tensor.bytes), 0);
  return { flops, bytes };
}

/** A line of a profile. */
export interface ProfileLine extends Work {
  /** Kernel. */
  label: string;
  /** Dispatches. */
  count: number;
  /** Milliseconds of all of them. */
  ms: number;
}

/** The times of every dispatch while `work` runs. */
export async function profileOf(gpu: Gpu, work: () => Promise<unknown>): Promise<ProfileEntry[]> {
  await gpu.sync();
  await periodOf(gpu);
  gpu.profiles = [];
  try {
    await work();
    return (await Promise.all(gpu.profiles)).flat();
  } finally {
    gpu.profiles = undefined;
  }
}

/** Time and work by kernel, the longest first. */
export function profileByKernel(entries: readonly ProfileEntry[]): ProfileLine[] {
  const sum = (values: number[]) => values.reduce((a, b) => a + b, 0);
  return [...Map.groupBy(entries, ({ label }) => label)].map(([label, all]) => {
    const work = all.map(workOf);
    return {
      label,
      count: all.length,
      ms: sum(all.map(({ milliseconds }) => milliseconds)),
      flops: sum(work.map(({ flops }) => flops)),
      bytes: sum(work.map(({ bytes }) => bytes)),
    };
  }).sort((a, b) => b.ms - a.ms);
}

/** Prints milliseconds, FLOP/s and bytes/s by kernel, and the share of what small kernels reach in the same run. */
export async function printProfile(gpu: Gpu, entries: readonly ProfileEntry[]): Promise<void> {
  const limits = await measureLimits(gpu);
  const lines = profileByKernel(entries);
  const all = lines.reduce((sum, { ms }) => sum + ms, 0);
  console.log(profileTable(lines, limits));
  const rate = (value: number) => (value / 1e9).toFixed(0);
  const half = limits.halfFlops ? `, ${rate(limits.halfFlops)} of f16 (the limit of kernels that sum in f16)` : "";
  const matrices = limits.matrixFlops ? `, ${rate(limits.matrixFlops)} of subgroup matrices` : "";
  const rates = `${rate(limits.bytes)} GB/s copied (read and written), ${rate(limits.flops)} GFLOP/s of f32 FMAs${half}${matrices}`;
  console.log(`${all.toFixed(2)} ms on the GPU in all. Limits, measured in this run: ${rates}.`);
  console.log("Bytes are those of every tensor once; operations of attention those of all pairs, also of masked ones.");
}

/** Operations a second that a kernel could do at most. */
function limitOf(label: string, { flops, halfFlops, matrixFlops }: Limits): number {
  return (MATRICES.test(label) && matrixFlops) || (SUMS_IN_HALF.test(label) && halfFlops) || flops;
}

function profileTable(lines: readonly ProfileLine[], limits: Limits): string {
  const all = lines.reduce((sum, { ms }) => sum + ms, 0);
  const share = (value: number, limit: number) => `${(100 * value / limit).toFixed(0)} %`;
  return markdownTable(
    ["kernel", "dispatches", "ms", "of the time", "GFLOP/s", "of the limit", "GB/s", "of the copy limit"],
    lines.map(({ label, count, ms, flops, bytes }) => [
      label,
      count,
      ms.toFixed(3),
      share(ms, all),
      flops ? (flops / ms / 1e6).toFixed(1) : "",
      flops ? share(flops / ms * 1000, limitOf(label, limits)) : "",
      (bytes / ms / 1e6).toFixed(2),
      share(bytes / ms * 1000, limits.bytes),
    ]),
  );
}
