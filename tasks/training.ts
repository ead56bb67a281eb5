/** What the two training tasks share. */
import type { TrainingOutcome } from "../pipeline/runs.ts";
import { type FlagSpec, interruptedStatus } from "./command.ts";

/** Flags of a training task. */
export const TRAINING_FLAGS: FlagSpec = {
  config: { help: "settings file (config/train.yaml)", value: "FILE" },
  resume: { help: "go on from the last checkpoint of the output folder" },
};

/** Tells how a training ended; sets the exit status when it was interrupted. */
export function printTraining(task: string, outcome: TrainingOutcome): void {
  for (const { reason } of outcome.skipped) console.log(`left out: ${reason}`);
  if (outcome.finished) {
    console.log(`${outcome.steps} steps done. Written: ${outcome.outputPath}`);
    return;
  }
  console.log(
    outcome.steps === 0
      ? "Stopped before the first step; nothing was changed."
      : `Stopped after ${outcome.steps} steps; the checkpoint is in place. Go on with: deno task ${task} --resume (and the same settings)`,
  );
  Deno.exitCode = interruptedStatus();
}
