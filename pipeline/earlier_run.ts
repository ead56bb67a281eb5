/** What becomes of the training run that a folder holds when another begins there: it is set aside, not lost. */
import { join } from "@std/path";
import { clearRunStates, savedSteps, statePath } from "./checkpoint/run_state.ts";

/** Folder in a run's folder for the run that was there before. */
const PREVIOUS = "previous";
/** Files of a run beside its checkpoints. */
const RECORDS = ["metrics.jsonl", "settings.yaml", "run.json"];

/** A run that was set aside. */
export interface EarlierRun {
  /** Its folder now. */
  dir: string;
  /** Its steps up to its newest checkpoint. */
  step: number;
}

/**
 * Makes room for a run that begins anew in a folder. The run that is there, if it came as far as a checkpoint, moves with its newest
 * checkpoint, metrics and settings to the folder `previous`, from where `--resume` can go on with it; the one that was there before is
 * removed. What was trained (`aspect.safetensors`, …) stays until the new run's end replaces it.
 *
 * @param outputDir the run's folder
 * @returns the run that was set aside, if there was one
 */
export async function setAsideEarlierRun(outputDir: string): Promise<EarlierRun | undefined> {
  const checkpoints = join(outputDir, "checkpoints");
  const [step] = await savedSteps(checkpoints);
  if (step === undefined) return void await clearRunStates(checkpoints);
  const dir = join(outputDir, PREVIOUS);
  const kept = join(dir, "checkpoints");
  await clearRunStates(kept);
  await Deno.rename(statePath(checkpoints, step), statePath(kept, step));
  for (const name of RECORDS) await moveIfThere(join(outputDir, name), join(dir, name));
  await clearRunStates(checkpoints);
  return { dir, step };
}

async function moveIfThere(from: string, to: string): Promise<void> {
  try {
    await Deno.rename(from, to);
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
    await Deno.remove(to).catch(() => {}); // an older run's
  }
}
