/** Whether a run fits on the GPU, and which settings would save how much. */
import { availableMemory } from "../kernels/available_memory.ts";
import type { Gpu } from "../kernels/gpu.ts";
import { MaspError } from "./errors.ts";
import { estimateMemory, type EstimateMemoryOptions, type MemoryNeed, type RunSettings } from "./memory_estimate.ts";

/** A setting that saves memory. */
export interface MemorySaving {
  /** As it stands in a settings file. */
  setting: string;
  /** Bytes that it saves. */
  bytes: number;
  /** What it costs. */
  price: string;
}

/** Savings below this share of the whole are not worth a line. */
const SMALLEST = 0.02;

/** What a run needs, in words. */
export function describeNeed(need: MemoryNeed): string {
  const { weights, trained, features, activations, total } = need;
  const parts = [["weights", weights], ["modules and optimizer", trained], ["kept features", features], [
    "activations",
    activations,
  ]] as const;
  return `${bytesText(total)} on the GPU (${parts.map(([what, bytes]) => `${what} ${bytesText(bytes)}`).join(", ")})`;
}

/**
 * Settings that would save memory, the largest saving first: the run is estimated once more with each of them.
 *
 * @param settings the run's settings
 * @param options checkpoint folder and pictures, as for the estimate
 */
export async function memorySavings(gpu: Gpu, settings: RunSettings, options: EstimateMemoryOptions): Promise<MemorySaving[]> {
  const variants: { setting: string; price: string; settings: RunSettings }[] = [];
  if (settings.stage !== "eval" && !settings.recompute) {
    const changed = { ...settings, recompute: true };
    variants.push({ setting: "gradient_checkpointing: true", price: "every layer is computed once more", settings: changed });
  }
  if (settings.stage === "stage1" && !settings.adamW.eightBit) {
    const changed = { ...settings, adamW: { ...settings.adamW, eightBit: true } };
    variants.push({ setting: "optim: adamw_8bit", price: "moments in 8 bits", settings: changed });
  }
  if (settings.stage === "stage1" && !settings.offloadViews) {
    const changed = { ...settings, offloadViews: true };
    variants.push({ setting: "offload_views: true", price: "other views' parameters wait in host memory", settings: changed });
  }
  for (const weights of ["bf16", "int8", "int4"] as RunSettings["weights"][]) {
    if (settings.weights !== weights) variants.push({ setting: `weights: ${weights}`, price: "", settings: { ...settings, weights } });
  }
  const { total } = await estimateMemory(gpu, settings, options);
  const savings: MemorySaving[] = [];
  for (const { setting, price, settings: changed } of variants) {
    savings.push({ setting, price, bytes: total - (await estimateMemory(gpu, changed, options)).total });
  }
  const pictures = (options.pictures ?? [[1024, 768]]).map(([width, height]) => [width / 2, height / 2].map(Math.ceil) as [number, number]);
  const smaller = total - (await estimateMemory(gpu, settings, { ...options, pictures })).total;
  savings.push({ setting: "a quarter of max_pixels in preprocessor_config.json", price: "pictures of half the width", bytes: smaller });
  return savings.filter(({ bytes }) => bytes > SMALLEST * total).sort((a, b) => b.bytes - a.bytes);
}

/** The savings as lines of a message. */
export function savingLines(savings: readonly MemorySaving[]): string {
  if (savings.length === 0) return "No setting would save much: use a smaller checkpoint or another GPU.";
  const lines = savings.map(({ setting, bytes, price }) => `  ${setting} saves ${bytesText(bytes)}${price ? ` (${price})` : ""}`);
  return `What would help:\n${lines.join("\n")}`;
}

/**
 * Estimates a run and asks the adapter for as much memory.
 *
 * @returns what it needs, in words
 * @throws {MaspError} when the adapter gives less; names the settings that save memory
 */
export async function checkMemory(gpu: Gpu, settings: RunSettings, options: EstimateMemoryOptions): Promise<string> {
  const need = await estimateMemory(gpu, settings, options);
  const given = await availableMemory(need.total, gpu.requested);
  if (given >= need.total) return `about ${describeNeed(need)}; the adapter gives it`;
  throw new MaspError(
    `about ${describeNeed(need)}, of which the adapter gives ${bytesText(given)}. ${
      savingLines(await memorySavings(gpu, settings, options))
    }`,
  );
}

/** Bytes in MiB or GiB. */
export function bytesText(bytes: number): string {
  return bytes < 2 ** 30 ? `${(bytes / 2 ** 20).toFixed(0)} MiB` : `${(bytes / 2 ** 30).toFixed(1)} GiB`;
}
