/** What was estimated before anything is loaded, against what the GPU's counters say after the run. */
import { assert, assertLess } from "@std/assert";
import { join } from "@std/path";
import { loadSettings, type Stage } from "../../config/schema.ts";
import { requestGpu } from "../../kernels/gpu.ts";
import { createAspects, trainAspects } from "../../pipeline/aspect_attend.ts";
import { loadAspectSamples } from "../../pipeline/data/aspect_samples.ts";
import { categoriesOf } from "../../pipeline/data/categories.ts";
import { decodePicture } from "../../pipeline/data/decode_picture.ts";
import { evaluate } from "../../pipeline/evaluate.ts";
import { loadQwen2Vl } from "../../pipeline/load.ts";
import { estimateMemory } from "../../pipeline/memory_estimate.ts";
import { createSoftPrompt, tunePrompt } from "../../pipeline/prompt_tune.ts";
import { DEMO, DEMO_MODEL, demoExamples, demoPrompts, temporaryFolder } from "./stages/support.ts";
import { resizedPicture } from "./train/resized_picture.ts";

const CATEGORIES = categoriesOf("EmoSet");

/** Parameters of the plans of many shapes, which the estimate does not count: as many bytes whatever the model's size. */
const PLANS = 2 * 2 ** 20;

/** Sizes of pictures of many shapes of passes. */
const SIZES = Array.from({ length: 18 }, (_, i) => [112 + 28 * i, 560 - 28 * (i % 7)] as const);

/** The size of pictures that are all alike. */
const USUAL = [112, 84] as const;

/** Estimate and measured peak of a short run, in bytes; over pictures of many sizes, told the largest and a usual one, or over two of one size. */
async function compare(
  stage: Stage,
  overrides: Record<string, string> = {},
  options: { sizes?: boolean } = {},
): Promise<{ estimated: number; measured: number }> {
  const settings = await loadSettings(join(DEMO, "..", "config", stage === "eval" ? "eval.yaml" : "train.yaml"), {
    stage,
    overrides: { model_name: DEMO_MODEL, prompt_json_path: join(DEMO, "prompts.json"), ...overrides },
  });
  using dir = temporaryFolder();
  const sizes = options.sizes ? SIZES : [USUAL, USUAL];
  const examples = await demoExamples(sizes.length);
  for (const [i, size] of sizes.entries()) examples[i].image = await resizedPicture(examples[i].image, { dir: dir.path, size });
  const pictures = await Promise.all(examples.map(async ({ image }) => {
    const { width, height } = await decodePicture(await Deno.readFile(image), { name: image });
    return [width, height] as const;
  }));
  await using gpu = await requestGpu();
  const told = options.sizes ? [pictures.reduce((a, b) => b[0] * b[1] > a[0] * a[1] ? b : a), pictures[0]] : pictures;
  const { total: estimated } = await estimateMemory(gpu, settings, { dir: DEMO_MODEL, pictures: told, count: examples.length });
  assert(gpu.counters.peakBytes === 0, "the estimate itself took memory");
  using model = await loadQwen2Vl(gpu, DEMO_MODEL);
  using aspects = createAspects(model, { views: settings.views });
  const prompts = await demoPrompts();
  if (settings.stage === "stage1") {
    const { adamW, recompute } = settings;
    const samples = await loadAspectSamples(examples, { views: settings.views, prompts, seed: 0 });
    for await (const _ of trainAspects(model, aspects, { examples, prompts, adamW, recompute, maxSteps: samples.length }));
  } else {
    using prompt = createSoftPrompt(model);
    if (settings.stage === "stage2") {
      const { adamW, recompute } = settings;
      for await (const _ of tunePrompt(model, prompt, { examples, prompts, categories: CATEGORIES, aspects, adamW, recompute }));
    } else await evaluate(model, { examples, prompts, categories: CATEGORIES, aspects, prompt });
  }
  return { estimated, measured: gpu.counters.peakBytes };
}

function checkedTest(name: string, run: () => Promise<{ estimated: number; measured: number }>): void {
  Deno.test({
    name,
    sanitizeOps: false,
    sanitizeResources: false,
    fn: async () => {
      const { estimated, measured } = await run();
      const mib = (bytes: number) => (bytes / 2 ** 20).toFixed(1);
      assert(Math.abs(estimated / measured - 1) < 0.1, `estimated ${mib(estimated)} MiB, measured ${mib(measured)} MiB`);
    },
  });
}

checkedTest(
  "memory of stage 1, with 32-bit moments and recomputed layers, is known before the run",
  () => compare("stage1", { optim: "adamw_torch", gradient_checkpointing: "true" }),
);
checkedTest("memory of stage 2 is known before the run", () => compare("stage2"));
checkedTest("memory of an evaluation is known before the run", () => compare("eval"));
for (const stage of ["stage1", "stage2", "eval"] as const) {
  Deno.test({
    name: `memory over pictures of many sizes is no more than what was known before the run: ${stage}`,
    sanitizeOps: false,
    sanitizeResources: false,
    fn: async () => {
      const { estimated, measured } = await compare(stage, {}, { sizes: true });
      assertLess(measured, estimated + PLANS);
      assertLess(estimated, 1.15 * measured);
    },
  });
}
