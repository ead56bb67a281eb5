/** The results of `deno task bench 7b` as Markdown. */
import { markdownTable } from "../../../pipeline/report/markdown.ts";
import { median } from "../support.ts";
import type { ReferenceTimes } from "./bench_7b.ts";
import { type Agreement, TOLERANCE } from "./compare_values.ts";
import type { Loading, Measurement } from "./phases.ts";

/** Times, GPU memory, and ratios to PyTorch where its times are given. */
export function measurementTable(measurements: readonly Measurement[], reference?: ReferenceTimes): string {
  const header = ["picture size / what", "ms", "GPU memory, GiB"];
  if (reference) header.push("PyTorch as published, ms", "ratio", "PyTorch tuned, ms", "ratio", "its memory: published, tuned");
  const number = (value: number | null | undefined, digits: number) => value === undefined || value === null ? "" : value.toFixed(digits);
  const rows = measurements.map(({ name, ms, gpuGib }) => {
    const row = [name, number(ms, 1), number(gpuGib, 2)];
    if (!reference) return row;
    const published = find(reference, "published", name);
    const tuned = find(reference, "tuned", name);
    const ratio = (other?: { ms: number }) => ms !== undefined && other ? number(ms / other.ms, 2) : "";
    const memory = [published, tuned].map((other) => number(other?.gpu_gib, 1)).filter(Boolean).join(", ");
    return [...row, number(published?.ms, 1), ratio(published), number(tuned?.ms, 1), ratio(tuned), memory];
  });
  return markdownTable(header, rows) + (reference ? `\nPyTorch's times were taken on ${reference.machine}.\n` : "");
}

/** The same work in the reference's times. The published program computes the features anew in every step. */
function find(reference: ReferenceTimes, mode: "published" | "tuned", name: string): { ms: number; gpu_gib?: number | null } | undefined {
  const same = name.replace(", recompute", "");
  return reference.results[`${mode}/${mode === "published" ? same.replace(", cached features", "") : same}`];
}

/** How fast the checkpoint came onto the GPU. */
export function loadingLine(loadings: readonly Loading[], options: { software: boolean }): string {
  const rates = loadings.map(({ gigabytesPerSecond }) => gigabytesPerSecond);
  const host = Math.max(...loadings.map(({ hostGib }) => hostGib));
  const each = rates.map((rate) => rate.toFixed(2)).join(", ");
  return `Checkpoint to ready: ${median(rates).toFixed(2)} GB/s (median of ${each}; the first may come from the disk). ` +
    `Host memory while loading at most ${host.toFixed(2)} GiB over the start${
      options.software ? ", the software adapter's buffers among it" : ""
    }.`;
}

/** Relative errors against PyTorch in float32. */
export function agreementTable(agreement: readonly Agreement[]): string {
  const rows = agreement.map(({ name, error, argMax }) => [
    name,
    error.toExponential(1),
    error <= TOLERANCE ? "yes" : "NO",
    argMax ? `${argMax.same} of ${argMax.of}` : "",
  ]);
  return markdownTable(["against PyTorch in float32", "relative error", `at most ${TOLERANCE}`, "same arg-max"], rows);
}
