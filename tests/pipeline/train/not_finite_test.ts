/** A loss that is not finite ends the training with a clear message and leaves the last good checkpoint. */
import { assert, assertEquals, assertMatch, assertRejects } from "@std/assert";
import { createAspects, trainAspects } from "../../../pipeline/aspect_attend.ts";
import { loadLatestRunState } from "../../../pipeline/checkpoint/run_state.ts";
import { asFloat32 } from "../../../pipeline/checkpoint/tensor_data.ts";
import { categoriesOf } from "../../../pipeline/data/categories.ts";
import { MaspError } from "../../../pipeline/errors.ts";
import { createSoftPrompt, tunePrompt } from "../../../pipeline/prompt_tune.ts";
import { demoExamples, demoPrompts, modelTest, temporaryFolder } from "../stages/support.ts";

modelTest("not finite: a rate that is far too high stops stage 1; the last good checkpoint stays", async (model) => {
  using dir = temporaryFolder();
  using aspects = createAspects(model, { seed: 1 });
  const run = { examples: await demoExamples(4), prompts: await demoPrompts(), seed: 1, checkpointDir: dir.path, saveEvery: 1 };
  const first = await Array.fromAsync(trainAspects(model, aspects, { ...run, learningRate: 1e38, warmupRatio: 0.2, maxSteps: 1 }));
  assertEquals(first[0].learningRate, 0);
  const on = () => Array.fromAsync(trainAspects(model, aspects, { ...run, learningRate: 1e38, warmupRatio: 0.2, resume: true }));
  const { message } = await assertRejects(on, MaspError, "Training stopped: the ");
  assertMatch(message, /step \d+/);
  assertMatch(message, /The checkpoint of step \d+ is in place\. Try a lower learning rate.* or a longer warm-up\./);
  const { state, warnings } = await loadLatestRunState(dir.path);
  assertEquals(warnings, []);
  assertMatch(message, new RegExp(`The checkpoint of step ${state!.step} is in place`));
  for (const [name, tensor] of Object.entries(state!.tensors)) {
    assert(tensor.dtype !== "F32" || asFloat32(tensor).every(Number.isFinite), name);
  }
});

modelTest("not finite: a parameter that is no number stops stage 2 at the first step", async (model) => {
  using dir = temporaryFolder();
  using prompt = createSoftPrompt(model);
  const rows = await model.gpu.readFloats(prompt.rows);
  rows[5] = NaN;
  model.gpu.write(prompt.rows, rows);
  const categories = categoriesOf("EmoSet");
  const run = { examples: await demoExamples(4), prompts: await demoPrompts(), categories, seed: 1, checkpointDir: dir.path, saveEvery: 1 };
  const steps: number[] = [];
  const training = async () => {
    for await (const { step } of tunePrompt(model, prompt, run)) steps.push(step);
  };
  await assertRejects(training, MaspError, "Training stopped: the loss is NaN at step 0. No checkpoint had been written yet.");
  assertEquals(steps, []);
  assertEquals((await loadLatestRunState(dir.path)).state, undefined);
});

modelTest("not finite: a bad number among many samples of a step is noticed with the step's number", async (model) => {
  using aspects = createAspects(model, { seed: 1, views: ["scene", "brightness"] });
  const { biases } = aspects.parameters("brightness");
  model.gpu.write(biases, Float32Array.of(NaN));
  const run = { examples: await demoExamples(4), prompts: await demoPrompts(), seed: 1, batchSize: 2, learningRate: 1e-4 };
  const { message } = await assertRejects(() => Array.fromAsync(trainAspects(model, aspects, run)), MaspError);
  assertMatch(message, /^Training stopped: the (loss|norm of the gradient) is NaN at step [01]\. No checkpoint/);
});
