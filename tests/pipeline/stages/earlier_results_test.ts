/** Runs leave what is there: earlier results are set aside, another run's folder is not written into. */
import { assert, assertEquals, assertMatch, assertRejects } from "@std/assert";
import { join } from "@std/path";
import type { Gpu } from "../../../kernels/gpu.ts";
import { savedSteps } from "../../../pipeline/checkpoint/run_state.ts";
import { expectWritable } from "../../../pipeline/folder_lock.ts";
import { MaspError } from "../../../pipeline/errors.ts";
import { runEvaluation, type RunEvaluationOptions, type RunHooks, runStage1, runStage2 } from "../../../pipeline/runs.ts";
import { runSettings } from "./run_settings.ts";
import { deviceTest, temporaryFolder } from "./support.ts";

type Flags = Record<string, string> & { output_dir: string };

async function stage1(gpu: Gpu, flags: Flags, options?: RunHooks & { resume?: boolean }) {
  return await runStage1(gpu, await runSettings("stage1", flags), options);
}

/** Hooks that stop a run behind a step. */
function stopAfter(last: number): RunHooks {
  const controller = new AbortController();
  return { signal: controller.signal, onStep: ({ step }) => step === last && controller.abort() };
}

function namesIn(dir: string): string[] {
  return [...Deno.readDirSync(dir)].map(({ name }) => name).sort();
}

deviceTest("a training that begins anew sets the earlier one aside whole, however often, and each can go on from there", async (gpu) => {
  using dir = temporaryFolder();
  const whole = await stage1(gpu, { output_dir: dir.file("whole"), max_steps: "8" });
  const output_dir = dir.file("run");
  const aside = (number: number) => join(output_dir, `previous-${number}`);
  const flags = { max_steps: "8", output_dir };
  const finished = await stage1(gpu, { ...flags, max_steps: "1" });
  const trained = await Deno.readFile(finished.outputPath);
  const notices: string[] = [];
  const onNotice = (text: string) => void notices.push(text);
  const stopped = await stage1(gpu, flags, { ...stopAfter(4), onNotice });
  assert(notices.some((text) => text.includes(`The training of 1 steps that was in ${output_dir} is in ${aside(1)} now`)), notices.join());
  assertEquals(await Deno.readFile(join(aside(1), "aspect.safetensors")), trained);
  assertEquals(await savedSteps(join(aside(1), "checkpoints")), [1]);
  await assertRejects(() => Deno.stat(finished.outputPath), Deno.errors.NotFound);
  const records = () =>
    Promise.all(["metrics.jsonl", "run.json", "settings.yaml"].map((name) => Deno.readTextFile(join(output_dir, name))));
  const earlier = await records();
  const steps = await savedSteps(join(output_dir, "checkpoints"));
  const broken = () => stage1(gpu, { ...flags, learning_rate: "1e30" }, { onNotice });
  await assertRejects(broken, MaspError, "the loss is");
  const hint = `--output-dir ${aside(2)} --resume`;
  assert(notices.some((text) => text.includes(`${stopped.steps} steps`) && text.includes(hint)), notices.join());
  assertEquals(await savedSteps(join(aside(2), "checkpoints")), steps);
  assertEquals(
    await Promise.all(["metrics.jsonl", "run.json", "settings.yaml"].map((name) => Deno.readTextFile(join(aside(2), name)))),
    earlier,
  );
  await stage1(gpu, { ...flags, max_steps: "1" });
  assertEquals(await savedSteps(join(output_dir, "checkpoints")), [1]);
  const resumed = await stage1(gpu, { ...flags, output_dir: aside(2) }, { resume: true });
  assertEquals(await Deno.readFile(resumed.outputPath), await Deno.readFile(whole.outputPath));
  assertEquals(await Deno.readFile(join(aside(1), "aspect.safetensors")), trained);
});

deviceTest(
  "a trained file in another folder is kept beside the new one; --resume without a checkpoint begins anew and says so",
  async (gpu) => {
    using dir = temporaryFolder();
    const flags = { output_dir: dir.file("run"), output_path: dir.file("kept", "mine.pth"), max_steps: "1" };
    const { outputPath } = await stage1(gpu, flags);
    const before = await Deno.readFile(outputPath);
    const notices: string[] = [];
    await Deno.remove(dir.file("run"), { recursive: true });
    await stage1(gpu, { ...flags, seed: "8" }, { resume: true, onNotice: (text) => notices.push(text) });
    assertEquals(await Deno.readFile(dir.file("kept", "mine.previous-1.pth")), before);
    assert(notices.some((text) => /no checkpoint in .*beginning with the first step/.test(text)), notices.join());
    assert(notices.some((text) => text.includes("mine.previous-1.pth now")), notices.join());
    const asFolder = () => stage1(gpu, { ...flags, output_path: dir.file("run.pt") });
    await Deno.mkdir(dir.file("run.pt"));
    await assertRejects(asFolder, MaspError, "it is a folder");
  },
);

deviceTest("one training at a time writes into a folder; one that is stopped before its first step changes nothing", async (gpu) => {
  using dir = temporaryFolder();
  const flags = { output_dir: dir.path, max_steps: "4", save_steps: "1", logging_steps: "1" };
  let second: Promise<unknown> | undefined;
  const onStep = () => second ??= assertRejects(() => stage1(gpu, flags), MaspError, "Another training is writing into");
  const first = await stage1(gpu, flags, { onStep });
  await second;
  assert(second && first.finished);
  const before = namesIn(dir.path);
  assert(!before.includes(".training.lock"), before.join());
  const stop = new AbortController();
  const stopped = await stage1(gpu, flags, { signal: stop.signal, onLoad: () => stop.abort() });
  assertEquals([stopped.finished, stopped.steps], [false, 0]);
  assertEquals(namesIn(dir.path), before);
  await assertRejects(() => stage1(gpu, flags, { signal: AbortSignal.abort() }), DOMException); // while it looks at the pictures
  assertEquals(namesIn(dir.path), before);
});

deviceTest(
  "a folder that cannot be written into is found before the model is loaded, and nothing is left of the look at it",
  async (gpu) => {
    using dir = temporaryFolder();
    await Deno.writeTextFile(dir.file("file"), "");
    const onLoad = () => assert(false, "the model was loaded");
    const output_dir = dir.file("file", "run");
    await assertRejects(() => stage1(gpu, { output_dir }, { onLoad }), MaspError, `Cannot write into "${output_dir}"`);
    const settings = await runSettings("eval", { output_dir, max_eval_samples: "1" });
    await assertRejects(() => runEvaluation(gpu, settings, { baseline: true, onLoad }), MaspError, "Cannot write into");
    await expectWritable(dir.file("missing", "run"));
    assertEquals(namesIn(dir.path), ["file"]);
  },
);

deviceTest("an evaluation that finds something else sets the earlier one aside, the same one replaces it", async (gpu) => {
  using dir = temporaryFolder();
  const output_dir = dir.file("eval");
  const notices: string[] = [];
  const run = async (flags: Record<string, string> = {}, options: RunEvaluationOptions = {}) => {
    const settings = await runSettings("eval", { output_dir, max_eval_samples: "8", batch: "2", ...flags });
    return await runEvaluation(gpu, settings, { baseline: true, onNotice: (text) => notices.push(text), ...options });
  };
  await run({}, { details: true });
  const detailed = namesIn(output_dir);
  const names = ["evaluation.json", "evaluation.md", "pictures.jsonl", "predictions.jsonl", "run.json", "settings.yaml"];
  assertEquals(detailed, names.map((name) => `baseline-${name}`));
  const before = await Deno.readTextFile(join(output_dir, "baseline-evaluation.json"));
  await run({}, { details: true });
  assertEquals(namesIn(output_dir), detailed);
  await run({ seed: "5" });
  assertEquals(namesIn(join(output_dir, "previous-1")), detailed);
  assertEquals(namesIn(output_dir), [...detailed.filter((name) => name !== "baseline-pictures.jsonl"), "previous-1"]);
  const facts = (text: string) => JSON.parse(text).facts;
  const kept = facts(await Deno.readTextFile(join(output_dir, "previous-1", "baseline-evaluation.json")));
  assertEquals({ ...kept, seconds: 0 }, { ...facts(before), seconds: 0 });
  assertEquals([kept.weights, kept.precision], ["f32", "f32"]);
  assertMatch(notices.at(-1)!, /The evaluation that was in .* is in .*previous-1 now/);
  const controller = new AbortController();
  await run({}, { signal: controller.signal, onPrediction: (_, { done }) => done === 2 && controller.abort() });
  const partial = "baseline-predictions.partial.jsonl";
  const interrupted = await Deno.readTextFile(join(output_dir, partial));
  await run();
  assertEquals(await Deno.readTextFile(join(output_dir, "previous-2", partial)), interrupted);
  assert(
    notices.some((text) => /predictions of an interrupted evaluation are in .*previous-2 now; .*--resume/.test(text)),
    notices.join("\n"),
  );
  const { finished } = await run({ output_dir: join(output_dir, "previous-2") }, { resume: true });
  assert(finished && notices.some((text) => /^Going on behind \d of 8 pictures/.test(text)), notices.join("\n"));
  assert(!notices.some((text) => /no predictions to go on from/.test(text)));
  await run({}, { resume: true });
  assert(notices.some((text) => /no predictions to go on from/.test(text)));
});

deviceTest("a soft prompt knows how it was tuned: used otherwise, it is an error or a notice", async (gpu) => {
  using dir = temporaryFolder();
  const { outputPath: ckpt_path } = await stage1(gpu, { output_dir: dir.file("stage1"), max_steps: "2" });
  const tune = async (name: string, options: { plain?: boolean; layout?: string }) => {
    const settings = await runSettings("stage2", {
      output_dir: dir.file(name),
      max_steps: "1",
      ckpt_path,
      ...(options.layout && { layout: options.layout }),
    });
    return (await runStage2(gpu, settings, { plain: options.plain })).outputPath;
  };
  const [plain, full, paper] = [
    await tune("plain", { plain: true }),
    await tune("full", {}),
    await tune("paper", { layout: "paper" }),
  ];
  const evaluation = async (soft_prompt_path: string, options: RunEvaluationOptions & { flags?: Record<string, string> } = {}) => {
    const flags = { output_dir: dir.file("eval"), max_eval_samples: "2", soft_prompt_path, ckpt_path, ...options.flags };
    return await runEvaluation(gpu, await runSettings("eval", flags), options);
  };
  await assertRejects(() => evaluation(plain), MaspError, "tuned without aspect tokens (stage2 --plain); give --plain");
  await assertRejects(() => evaluation(paper), MaspError, 'it was tuned with "paper"; give --layout paper');
  const notices: string[] = [];
  const onNotice = (text: string) => void notices.push(text);
  const { files } = await evaluation(full, { plain: true, onNotice });
  assert(notices.some((text) => /tuned with the aspects facial_expression, .*; here there are none/.test(text)), notices.join("\n"));
  assertMatch(files.json, /plain-evaluation\.json$/);
  notices.length = 0;
  await evaluation(plain, { plain: true, onNotice });
  const { files: last } = await evaluation(paper, { flags: { layout: "paper" }, onNotice });
  assert(!notices.some((text) => text.includes("tuned")), notices.join("\n"));
  const { facts } = JSON.parse(await Deno.readTextFile(last.json));
  assertEquals([facts.layout, facts["tuned with"].split(", ").length], ["paper", 6]);
});
