/** `deno task encode`: visual features of a data set into the feature cache. */
import { loadSettings } from "../config/schema.ts";
import { MaspError } from "../pipeline/errors.ts";
import { runEncode } from "../pipeline/runs.ts";
import { interruptedStatus, openGpu, runCommand, textFlag } from "./command.ts";
import { printNotices, terminalHooks } from "./run_hooks.ts";

const STAGES = {
  stage1: ["config/train.yaml", "train"],
  stage2: ["config/train.yaml", "train"],
  eval: ["config/eval.yaml", "test"],
} as const;

await runCommand({
  name: "encode",
  summary: "Encodes the pictures of a stage's data set once, so that training and evaluation read their features from the disk.",
  flags: {
    stage: { help: "whose data set (stage1)", value: "stage1|stage2|eval" },
    config: { help: "settings file (config/train.yaml, or config/eval.yaml for eval)", value: "FILE" },
  },
  settings: "stage1",
}, async (invocation) => {
  const stage = (textFlag(invocation, "stage") ?? "stage1") as keyof typeof STAGES;
  if (!(stage in STAGES)) throw new MaspError(`--stage is "${stage}"; expected stage1, stage2 or eval`);
  const [config, split] = STAGES[stage];
  const overrides = { feature_cache: "outputs/features", ...invocation.overrides };
  const settings = await loadSettings(textFlag(invocation, "config") ?? config, { stage, overrides });
  printNotices(settings);
  await using gpu = await openGpu(settings);
  using hooks = terminalHooks("pictures", gpu);
  const { encoded, fromDisk, skipped } = await runEncode(gpu, settings, { ...hooks, split });
  for (const { reason } of skipped) console.log(`left out: ${reason}`);
  if (hooks.signal?.aborted) {
    console.log("Stopped; the features so far are kept, and the same command goes on.");
    Deno.exitCode = interruptedStatus();
  }
  console.log(`${encoded} pictures encoded, ${fromDisk} were there. Features: ${settings.featureCache}`);
});
