/** `deno task stage2`: tunes the soft prompt. */
import { loadSettings } from "../config/schema.ts";
import { runStage2 } from "../pipeline/runs.ts";
import { openGpu, runCommand, textFlag } from "./command.ts";
import { withMemoryAdvice } from "./memory.ts";
import { printNotices, terminalHooks } from "./run_hooks.ts";
import { printTraining, TRAINING_FLAGS } from "./training.ts";

await runCommand({
  name: "stage2",
  summary: "Tunes the embedding rows of new prompt tokens on pictures with emotions. Model and aspect modules stay frozen.",
  flags: { ...TRAINING_FLAGS, plain: { help: "without aspect tokens" } },
  settings: "stage2",
}, async (invocation) => {
  const settings = await loadSettings(textFlag(invocation, "config") ?? "config/train.yaml", {
    stage: "stage2",
    overrides: invocation.overrides,
  });
  printNotices(settings);
  await using gpu = await openGpu(settings);
  using hooks = terminalHooks("stage 2", gpu);
  const { resume, plain } = invocation.flags;
  const options = { ...hooks, resume: resume === true, plain: plain === true };
  printTraining("stage2", await withMemoryAdvice(gpu, settings, () => runStage2(gpu, settings, options)));
});
