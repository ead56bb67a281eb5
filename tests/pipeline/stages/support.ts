/** What the tests of whole stages share: the demo's model, pictures and questions, and small tools. */
import { fromFileUrl, join } from "@std/path";
import { type Gpu, requestGpu } from "../../../kernels/gpu.ts";
import { type Example, loadExamples } from "../../../pipeline/data/examples.ts";
import { loadPrompts, type Prompts } from "../../../pipeline/data/prompts.ts";
import { loadQwen2Vl, type Qwen2Vl } from "../../../pipeline/load.ts";
import type { TrainingStep } from "../../../pipeline/train/training_run.ts";
import "../../set_up.ts";

/** The demo's folder. */
export const DEMO: string = fromFileUrl(new URL("../../../demo", import.meta.url));
/** The demo's model. */
export const DEMO_MODEL: string = join(DEMO, "model");
/** The demo's pictures. */
export const DEMO_DATA: string = join(DEMO, "emoset");

let sharedGpu: Promise<Gpu> | undefined;
let sharedModel: Promise<Qwen2Vl> | undefined;

/** The device of this test file. Products are not rounded to f16, whatever the adapter is: that is for the tests of kernels, and for golden values. */
export function demoGpu(): Promise<Gpu> {
  return sharedGpu ??= requestGpu({ precision: "f32" });
}

/** The demo's model, loaded once per test file, its weights as they are taken for a software adapter. */
export function demoModel(): Promise<Qwen2Vl> {
  return sharedModel ??= demoGpu().then((gpu) => loadQwen2Vl(gpu, DEMO_MODEL, { weights: "f32" }));
}

/** A test with the demo's model; device and model outlive it. */
export function modelTest(name: string, fn: (model: Qwen2Vl) => Promise<void>): void {
  Deno.test({ name, sanitizeOps: false, sanitizeResources: false, fn: async () => fn(await demoModel()) });
}

/** A test with the device alone. */
export function deviceTest(name: string, fn: (gpu: Gpu) => Promise<void>): void {
  Deno.test({ name, sanitizeOps: false, sanitizeResources: false, fn: async () => fn(await demoGpu()) });
}

/** So many of the demo's pictures, spread over all emotions. */
export async function demoExamples(count: number, split: "train" | "test" = "train"): Promise<Example[]> {
  const all = await loadExamples(DEMO_DATA, { split });
  return Array.from({ length: count }, (_, i) => all[Math.floor((i + 0.5) * all.length / count)]);
}

/** The demo's questions. */
export function demoPrompts(): Promise<Prompts> {
  return loadPrompts(join(DEMO, "prompts.json"));
}

/** All steps of a training. */
export function stepsOf(training: AsyncIterable<TrainingStep>): Promise<TrainingStep[]> {
  return Array.fromAsync(training);
}

/** Mean of the losses of some steps. */
export function meanLoss(steps: readonly TrainingStep[]): number {
  return steps.reduce((sum, { loss }) => sum + loss, 0) / steps.length;
}

/** A folder for one test, removed when disposed of. */
export function temporaryFolder(): { path: string; file(...names: string[]): string; [Symbol.dispose](): void } {
  const path = Deno.makeTempDirSync({ prefix: "masp_stages_" });
  return { path, file: (...names) => join(path, ...names), [Symbol.dispose]: () => Deno.removeSync(path, { recursive: true }) };
}
