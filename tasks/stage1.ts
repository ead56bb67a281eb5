/** `deno task stage1`: trains the aspect modules. */
import { loadSettings } from "../config/schema.ts";
import { runStage1 } from "../pipeline/runs.ts";
import { openGpu, runCommand, textFlag } from "./command.ts";
import { withMemoryAdvice } from "./memory.ts";
import { printNotices, terminalHooks } from "./run_hooks.ts";
import { printTraining, TRAINING_FLAGS } from "./training.ts";

await runCommand({
  name: "stage1",
  summary: "Trains query vectors and cross-attention of every view on annotated pictures (EmoSet's layout). The model stays frozen.",
  flags: TRAINING_FLAGS,
  settings: "stage1",
}, async (invocation) => {
  const settings = await loadSettings(textFlag(invocation, "config") ?? "config/train.yaml", {
    stage: "stage1",
    overrides: invocation.overrides,
  });
  printNotices(settings);
  await using gpu = await openGpu(settings);
  using hooks = terminalHooks("stage 1", gpu);
  const options = { ...hooks, resume: invocation.flags.resume === true };
  printTraining("stage1", await withMemoryAdvice(gpu, settings, () => runStage1(gpu, settings, options)));
});
