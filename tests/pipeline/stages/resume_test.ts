/** A run that was interrupted goes on to the same files, bit for bit. */
import { assert, assertEquals, assertMatch, assertRejects } from "@std/assert";
import { join } from "@std/path";
import type { Gpu } from "../../../kernels/gpu.ts";
import { createAspects, trainAspects } from "../../../pipeline/aspect_attend.ts";
import { savedSteps } from "../../../pipeline/checkpoint/run_state.ts";
import { decodePicture } from "../../../pipeline/data/decode_picture.ts";
import { loadExamples } from "../../../pipeline/data/examples.ts";
import { loadPrompts } from "../../../pipeline/data/prompts.ts";
import { FeatureStore } from "../../../pipeline/encode.ts";
import { MaspError } from "../../../pipeline/errors.ts";
import { loadQwen2Vl } from "../../../pipeline/load.ts";
import { readMetrics } from "../../../pipeline/report/metrics_log.ts";
import { runEvaluation, type RunEvaluationOptions, type RunHooks, runStage1, runStage2 } from "../../../pipeline/runs.ts";
import { runSettings } from "./run_settings.ts";
import { DEMO, DEMO_DATA, DEMO_MODEL, deviceTest, temporaryFolder } from "./support.ts";

type Flags = Record<string, string>;
type Run = (gpu: Gpu, flags: Flags & { output_dir: string }, options?: RunHooks & { resume?: boolean }) => ReturnType<typeof runStage1>;

/** Hooks that stop a run behind a step. */
function stopAfter(last: number): RunHooks {
  const controller = new AbortController();
  return { signal: controller.signal, onStep: ({ step }) => step === last && controller.abort() };
}

const stage1: Run = async (gpu, flags, options) => runStage1(gpu, await runSettings("stage1", { max_steps: "12", ...flags }), options);

function stage2(aspects: string): Run {
  return async (gpu, flags, options) =>
    runStage2(gpu, await runSettings("stage2", { max_steps: "12", ckpt_path: aspects, ...flags }), options);
}

async function checkResume(gpu: Gpu, run: Run, options: { dir: string; flags?: Flags }): Promise<void> {
  const { dir, flags = {} } = options;
  const whole = await run(gpu, { ...flags, output_dir: join(dir, "whole") });
  assertEquals([whole.finished, whole.steps], [true, 12]);
  const output_dir = join(dir, "parts");
  const stopped = await run(gpu, { ...flags, output_dir }, stopAfter(3));
  assertEquals(stopped.finished, false);
  assert(stopped.steps > 3 && stopped.steps < 12, `stopped after ${stopped.steps} steps`);
  assertEquals((await savedSteps(join(output_dir, "checkpoints")))[0], stopped.steps);
  await assertRejects(() => Deno.stat(stopped.outputPath), Deno.errors.NotFound);
  await Deno.writeTextFile(join(output_dir, "checkpoints", ".checkpoint-8.safetensors.tmp-0123abcd"), "half a checkpoint");
  await Deno.writeTextFile(join(output_dir, "checkpoints", "checkpoint-11.safetensors"), "half a checkpoint, renamed");
  const notices: string[] = [];
  const resumed = await run(gpu, { ...flags, output_dir }, { resume: true, onNotice: (text) => notices.push(text) });
  assertEquals([resumed.finished, resumed.steps], [true, 12]);
  assert(notices.some((text) => text.includes("damaged checkpoint") && text.includes("checkpoint-11")), notices.join("\n"));
  assert(notices.some((text) => text.includes(`step ${stopped.steps} of`)), notices.join("\n"));
  assertEquals(await Deno.readFile(resumed.outputPath), await Deno.readFile(whole.outputPath));
  const lines = await readMetrics(join(output_dir, "metrics.jsonl"));
  assertEquals(lines.map(({ step }) => step), [2, 5, 8, 11]);
  assertEquals(lines, await readMetrics(join(dir, "whole", "metrics.jsonl")));
}

deviceTest("resume: stage 1 and stage 2 go on to the same files after a stop", async (gpu) => {
  using dir = temporaryFolder();
  await checkResume(gpu, stage1, { dir: dir.file("stage1"), flags: { optim: "adamw_8bit" } });
  const aspects = dir.file("stage1", "whole", "aspect.safetensors");
  await checkResume(gpu, stage2(aspects), { dir: dir.file("stage2") });
  const others = await stage1(gpu, { output_dir: dir.file("other"), max_steps: "3" });
  const mixed = () => stage2(others.outputPath)(gpu, { output_dir: dir.file("stage2", "parts") }, { resume: true });
  await assertRejects(mixed, MaspError, 'aspect modules: "');
});

deviceTest("resume: other settings are an error that names them, and nothing is touched", async (gpu) => {
  using dir = temporaryFolder();
  const output_dir = dir.path;
  await stage1(gpu, { output_dir, max_steps: "2", num_train_epochs: "1" });
  const files = async () => {
    const names = ["settings.yaml", "metrics.jsonl", "aspect.safetensors", "checkpoints/checkpoint-2.safetensors"];
    return await Promise.all(names.map((name) => Deno.readFile(dir.file(name))));
  };
  const before = await files();
  const changed: [Flags, RegExp][] = [
    [{ learning_rate: "1e-4" }, /"learningRate":0.001.* there, .*"learningRate":0.0001.* now/],
    [{ seed: "2" }, /seed: 1 there, 2 now/],
    [{ VIEW_NAMES: "scene,object" }, /views: .* there, \["scene","object"\] now/],
    [{ num_view_tokens: "3" }, /tokens: 5 there, 3 now/],
    [{ max_train_samples: "7" }, /pictures, questions and answers: /],
    [{ weights: "f16" }, /weights: "f32" there, "f16" now/],
    [{ optim: "adamw_8bit" }, /adamW: .*"eightBit":false.* there, .*"eightBit":true.* now/],
  ];
  for (const [flags, expected] of changed) {
    const again = () => stage1(gpu, { output_dir, max_steps: "4", num_train_epochs: "1", ...flags }, { resume: true });
    const { message } = await assertRejects(again, MaspError, "Cannot go on from the checkpoint of step 2");
    assertMatch(message, expected);
    assertMatch(message, /leave out --resume to start again/);
    assertEquals(await files(), before);
  }
  const more = await stage1(gpu, { output_dir, max_steps: "4", num_train_epochs: "1" }, { resume: true });
  assertEquals([more.finished, more.steps], [true, 4]);
});

deviceTest("a picture that is gone in the middle stops a training with a checkpoint, from which it goes on", async (gpu) => {
  using dir = temporaryFolder();
  using model = await loadQwen2Vl(gpu, DEMO_MODEL);
  const examples = await loadExamples(DEMO_DATA, { split: "train", limit: 12 });
  const prompts = await loadPrompts(join(DEMO, "prompts.json"));
  const run = async (name: string, options: { lost?: number; resume?: boolean; batchSize: number }) => {
    let count = 0;
    const read = async (image: string) => {
      if (count++ === options.lost) throw new MaspError(`Cannot read "${image}"`);
      return model.processor.process(await decodePicture(await Deno.readFile(image), { name: image }));
    };
    await using store = new FeatureStore(model, { read, gpuBytes: 0 });
    using aspects = createAspects(model, { tokens: 5, seed: 1 });
    const { batchSize, resume } = options;
    const steps: number[] = [];
    const training = { examples, prompts, store, batchSize, resume, epochs: 1, maxSteps: 8, checkpointDir: dir.file(name) };
    try {
      for await (const { step } of trainAspects(model, aspects, training)) steps.push(step);
    } catch (error) {
      return { steps, message: (error as Error).message };
    }
    await aspects.save(dir.file(`${name}.safetensors`));
    return { steps, message: "" };
  };
  assertEquals((await run("whole", { batchSize: 2 })).message, "");
  const { steps, message } = await run("parts", { batchSize: 2, lost: 9 });
  const [saved] = await savedSteps(dir.file("parts"));
  assert(saved > 0 && saved < 8, message);
  assertEquals(steps, Array.from({ length: saved }, (_, i) => i));
  assertMatch(message, new RegExp(`^Training stopped. Cannot read ".*"\nThe checkpoint of step ${saved} is in place. .*--resume`));
  assertEquals((await run("parts", { batchSize: 2, resume: true })).steps.at(-1), 7);
  assertEquals(await Deno.readFile(dir.file("parts.safetensors")), await Deno.readFile(dir.file("whole.safetensors")));
  assertMatch((await run("together", { batchSize: 1, lost: 7 })).message, /^Training stopped. Cannot read ".*"\nNo checkpoint/);
});

deviceTest("resume: an evaluation that was interrupted keeps its predictions, and goes on to the same ones", async (gpu) => {
  using dir = temporaryFolder();
  const run = async (output_dir: string, options: RunEvaluationOptions = {}, flags: Flags = {}) => {
    const settings = await runSettings("eval", { output_dir, max_eval_samples: "11", batch: "2", ...flags });
    return await runEvaluation(gpu, settings, { baseline: true, details: true, ...options });
  };
  const linesOf = (...names: string[]) => Deno.readTextFile(dir.file(...names, "baseline-predictions.jsonl"));
  const whole = await run(dir.file("whole"));
  assertEquals([whole.finished, whole.total], [true, 11]);
  const output_dir = dir.file("parts");
  await run(output_dir, { details: false }, { max_eval_samples: "3" }); // earlier results, which stay until the end
  const before = await linesOf("parts");
  const controller = new AbortController();
  const stopped = await run(output_dir, { signal: controller.signal, onPrediction: (_, { done }) => done === 3 && controller.abort() });
  assertEquals([stopped.finished, stopped.total], [false, 11]);
  assert(stopped.predictions.length >= 3 && stopped.predictions.length < 9, `${stopped.predictions.length} predictions`);
  const partial = dir.file("parts", "baseline-predictions.partial.jsonl");
  await Deno.writeTextFile(partial, '{"image": "half a li', { append: true });
  const other = () => run(output_dir, { resume: true }, { seed: "9" });
  const { message } = await assertRejects(other, MaspError, "Cannot go on from the evaluation in");
  assertMatch(message, /pictures, questions and answers: .*leave out --resume/);
  assertEquals(await linesOf("parts"), before);
  const done: number[] = [];
  const looking = new AbortController(); // this time it is interrupted while the details are made
  const details = { signal: looking.signal, onPrediction: (_: unknown, count: { done: number }) => done.push(count.done) };
  const looked = await run(output_dir, { ...details, resume: true, onNotice: (text) => text.startsWith("Aspects") && looking.abort() });
  assertEquals([looked.finished, looked.predictions.length], [false, 11]);
  const first = stopped.predictions.length - stopped.predictions.length % 2;
  assertEquals(done, Array.from({ length: 11 - first }, (_, i) => first + i + 1));
  assertEquals(await linesOf("parts"), before);
  const resumed = await run(output_dir, { resume: true });
  assertEquals([resumed.finished, resumed.metrics, resumed.predictions], [true, whole.metrics, whole.predictions]);
  assertEquals(await linesOf("parts"), await linesOf("whole"));
  await assertRejects(() => Deno.stat(partial), Deno.errors.NotFound);
});
