/** A GPU that runs out of memory, or is lost, in the middle of a run: what is said, and what is left. */
import { assert, assertEquals, assertMatch, assertRejects } from "@std/assert";
import { loadSettings } from "../../config/schema.ts";
import { GpuError, requestGpu } from "../../kernels/gpu.ts";
import { MaspError } from "../../pipeline/errors.ts";
import { runStage1, runStage2 } from "../../pipeline/runs.ts";
import { withMemoryAdvice } from "../../tasks/memory.ts";
import { workplace } from "./support.ts";

Deno.test("out of GPU memory: says which settings would save how much, and earlier results stay", async () => {
  await using place = await workplace();
  const settings = await loadSettings(place.config, { stage: "stage2", overrides: { optim: "adamw_torch" } });
  let peak = 0;
  {
    await using gpu = await requestGpu();
    const outcome = await runStage2(gpu, { ...settings, outputPath: place.file("tuned.pt"), outputDir: place.file("tuned") });
    assert(outcome.finished);
    peak = gpu.counters.peakBytes;
  }
  await using gpu = await requestGpu({ memoryLimit: 0.9 * peak });
  const { message } = await assertRejects(() => withMemoryAdvice(gpu, settings, () => runStage2(gpu, settings)), MaspError);
  assertMatch(message, /^Out of GPU memory: ".+" needs \d+ MiB more, \d+ of \d+ MiB are in use|^Out of GPU memory: /);
  assertMatch(message, /What would help:\n( {2}\S.* saves \d+ MiB.*\n?)+$/);
  assertEquals(
    await Deno.readTextFile(place.file("outputs", "stage2", "soft_prompt.safetensors")),
    "earlier soft_prompt.safetensors of stage2",
  );
});

Deno.test("a GPU that is lost while it trains: says so, and the run can go on from its checkpoint", async () => {
  await using place = await workplace();
  const settings = await loadSettings(place.config, {
    stage: "stage1",
    overrides: { output_dir: place.file("run"), save_steps: "8", max_steps: "32" },
  });
  {
    await using gpu = await requestGpu();
    const onStep = ({ step }: { step: number }) => {
      if (step === 10) gpu.device.destroy();
    };
    const { message } = await assertRejects(() => runStage1(gpu, settings, { onStep }), GpuError);
    assertMatch(message, /The GPU was lost .*--resume/);
  }
  await using gpu = await requestGpu();
  const steps: number[] = [];
  const outcome = await runStage1(gpu, settings, { resume: true, onStep: ({ step }) => void steps.push(step) });
  assert(outcome.finished);
  assertEquals([steps[0] % 8, steps.at(-1)], [0, 31]);
  assert(steps[0] > 0, "nothing was left to go on from");
});
