/** Same seed, same adapter: the same numbers, bit for bit. */
import { assert, assertEquals, assertLess, assertNotEquals } from "@std/assert";
import { createAspects, trainAspects, type TrainAspectsOptions } from "../../../pipeline/aspect_attend.ts";
import type { AspectParameters } from "../../../pipeline/checkpoint/aspect_file.ts";
import { categoriesOf } from "../../../pipeline/data/categories.ts";
import { evaluate } from "../../../pipeline/evaluate.ts";
import type { Qwen2Vl } from "../../../pipeline/load.ts";
import { createSoftPrompt, tunePrompt, type TunePromptOptions } from "../../../pipeline/prompt_tune.ts";
import { demoExamples, demoPrompts, modelTest, stepsOf } from "./support.ts";

const STEPS = 6;

async function stage1(model: Qwen2Vl, options: Partial<TrainAspectsOptions> & { seed: number }) {
  using aspects = createAspects(model, { seed: options.seed });
  const shared = { examples: await demoExamples(8), prompts: await demoPrompts(), maxSteps: STEPS, learningRate: 1e-3 };
  const steps = await stepsOf(trainAspects(model, aspects, { ...shared, ...options }));
  return { steps, aspects: await aspects.read() };
}

async function stage2(model: Qwen2Vl, options: Partial<TunePromptOptions> & { seed: number; layout?: "code" | "paper" }) {
  const { layout, ...more } = options;
  using aspects = createAspects(model, { seed: 1 });
  using prompt = createSoftPrompt(model, { layout });
  const shared = { examples: await demoExamples(8), prompts: await demoPrompts(), categories: categoriesOf("EmoSet"), learningRate: 1e-2 };
  const steps = await stepsOf(tunePrompt(model, prompt, { ...shared, aspects, maxSteps: STEPS, epochs: 2, ...more }));
  const { predictions } = await evaluate(model, { ...shared, examples: shared.examples.slice(0, 2), aspects, prompt, scores: true });
  return { steps, rows: await model.gpu.readFloats(prompt.rows), predictions };
}

modelTest("same seed, same adapter: stage 1 gives the same losses and parameters bit for bit", async (model) => {
  const [a, b, other] = [await stage1(model, { seed: 1 }), await stage1(model, { seed: 1 }), await stage1(model, { seed: 2 })];
  assertEquals(a.steps.length, STEPS);
  assertEquals(a, b);
  assertNotEquals(a.steps.map(({ loss }) => loss), other.steps.map(({ loss }) => loss));
});

modelTest("same seed, same adapter: stage 2 gives the same losses, rows and scores bit for bit", async (model) => {
  const [a, b, other] = [await stage2(model, { seed: 1 }), await stage2(model, { seed: 1 }), await stage2(model, { seed: 2 })];
  assertEquals(a.steps.length, STEPS);
  assertEquals(a, b);
  assertNotEquals(a.steps.map(({ loss }) => loss), other.steps.map(({ loss }) => loss));
  const paper = await stage2(model, { seed: 1, layout: "paper" });
  assertNotEquals(paper.rows, a.rows, "both layouts train alike");
  assert(paper.predictions.every(({ scores }, i) => scores!.fear !== a.predictions[i].scores!.fear), "both layouts answer alike");
  assert(paper.steps.every(({ loss }) => loss > 0 && loss < 20));
});

modelTest("8-bit moments: losses close to those of 32-bit moments", async (model) => {
  const run = { seed: 1, learningRate: 2e-3, maxSteps: 8 };
  const full = await stage1(model, run);
  const small = await stage1(model, { ...run, adamW: { eightBit: true } });
  const far = small.steps.map(({ loss }, i) => Math.abs(loss - full.steps[i].loss) / full.steps[i].loss);
  assertEquals(far[0], 0); // nothing was updated yet
  assert(far.some((difference) => difference > 0), "the moments are not in 8 bits");
  far.forEach((difference) => assertLess(difference, 0.05));
});

modelTest("stage 1: a step changes its sample's view alone", async (model) => {
  const { aspects } = await stage1(model, { seed: 1, maxSteps: 1 });
  using fresh = createAspects(model, { seed: 1 });
  const before = await fresh.read();
  const changed = before.views.filter((view) => {
    const parts = (
      { queries, attention }: AspectParameters,
    ) => [queries.get(view)!, ...(Object.values(attention.get(view)!) as Float32Array[])];
    const [old, now] = [parts(before), parts(aspects)];
    return old.some((values, i) => values.some((value, k) => value !== now[i][k]));
  });
  assertEquals(changed.length, 1);
});
