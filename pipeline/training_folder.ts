/** What a training from settings leaves in its folder while it goes on: its settings, a line per logged step, checkpoints. */
import { ensureDir } from "@std/fs";
import { dirname, join } from "@std/path";
import type { Stage1Settings, Stage2Settings } from "../config/schema_settings.ts";
import type { Gpu } from "../kernels/gpu.ts";
import { setAsideTraining } from "./earlier_results.ts";
import { MaspError } from "./errors.ts";
import { lockFolder } from "./folder_lock.ts";
import { openMetricsLog } from "./report/metrics_log.ts";
import { recordRun } from "./run_records.ts";
import type { TrainingOptions, TrainingStep } from "./train/training_run.ts";

/** Options of {@linkcode followTraining}. */
export interface FollowTrainingOptions {
  /** The device, for `run.json`. */
  gpu: Gpu;
  /** Whether to go on from the newest checkpoint. */
  resume?: boolean;
  /** Something worth a line. */
  onNotice?: (text: string) => void;
  /** A finished step. */
  onStep?: (step: TrainingStep) => void;
  /** Ends the training cleanly, with a checkpoint. */
  signal?: AbortSignal;
  /** Other facts for `run.json`. */
  facts?: Readonly<Record<string, unknown>>;
}

/** Where a training ended. */
export interface TrainingEnd {
  /** Whether every step was taken; otherwise the run was interrupted and can go on from its checkpoint. */
  finished: boolean;
  /** Steps that were taken in all; 0 when it was interrupted before it changed anything. */
  steps: number;
  /** File of what was trained, when finished. */
  outputPath: string;
}

/**
 * Takes all steps of a training and writes settings, metrics and checkpoints on the way. A training that is there is set aside first, unless
 * this one goes on with it.
 *
 * @param settings of the training
 * @param options see {@linkcode FollowTrainingOptions}
 * @param start begins the training
 * @param save writes what was trained, at the end
 * @throws {MaspError} when another training is writing into the folder, the folder cannot be written into, or the training fails
 */
export async function followTraining(
  settings: Stage1Settings | Stage2Settings,
  options: FollowTrainingOptions,
  { start, save }: { start: (training: TrainingOptions) => AsyncGenerator<TrainingStep>; save: (path: string) => Promise<void> },
): Promise<TrainingEnd> {
  const { outputDir, outputPath, loggingSteps } = settings;
  const { gpu, resume, onNotice, signal } = options;
  using resources = new DisposableStack();
  let begin = { step: 0, totalSteps: Infinity };
  let window: number[] = []; // losses since the latest line
  const training: TrainingOptions = {
    ...settings.run,
    saveEvery: settings.saveEvery,
    checkpointDir: join(outputDir, "checkpoints"),
    resume,
    signal,
    onWarning: onNotice,
    notes: () => window,
    onBegin: async ({ step, totalSteps, notes }) => {
      begin = { step, totalSteps };
      if (Array.isArray(notes)) window = notes.filter((loss) => typeof loss === "number");
      resources.use(await lockFolder(outputDir, "training"));
      await requirePlace(outputPath);
      if (step > 0) onNotice?.(`Going on from the checkpoint of step ${step} of ${totalSteps}.`);
      else if (resume) onNotice?.(`There is no checkpoint in ${outputDir} to go on from; beginning with the first step.`);
    },
  };
  /** Nothing in the folder changes before there is a step, so that a run that fails at its first leaves everything as it was. */
  const openFolder = async () => {
    if (begin.step === 0) await setEarlierAside(settings, onNotice);
    await recordRun(settings, { gpu, facts: { totalSteps: begin.totalSteps, ...options.facts } });
    return resources.use(await openMetricsLog(join(outputDir, "metrics.jsonl"), { keepThrough: begin.step - 1 }));
  };
  let log: Awaited<ReturnType<typeof openFolder>> | undefined;
  let taken: number | undefined; // steps in all
  for await (const step of start(training)) {
    log ??= await openFolder();
    taken = step.step + 1;
    window.push(step.loss);
    if (taken % loggingSteps === 0 || taken === lastStep(begin.totalSteps, settings)) {
      const loss = window.reduce((sum, value) => sum + value, 0) / window.length;
      const { learningRate: learning_rate, gradientNorm: gradient_norm, epoch } = step;
      await log.write({ step: step.step, loss, learning_rate, gradient_norm, epoch });
      window = [];
    }
    options.onStep?.(step);
  }
  const steps = taken ?? begin.step;
  const finished = steps >= lastStep(begin.totalSteps, settings);
  if (finished) await save(outputPath);
  return { finished, steps, outputPath };
}

function lastStep(totalSteps: number, { run }: Stage1Settings | Stage2Settings): number {
  return Math.min(totalSteps, run.maxSteps ?? Infinity);
}

async function setEarlierAside({ outputDir, outputPath }: Stage1Settings | Stage2Settings, onNotice?: (text: string) => void) {
  const { training, file } = await setAsideTraining(outputDir, outputPath);
  if (training) {
    const { dir, step } = training;
    const goOn = step > 0 ? `; --output-dir ${dir} --resume goes on with it` : "";
    onNotice?.(`The training${step > 0 ? ` of ${step} steps` : ""} that was in ${outputDir} is in ${dir} now${goOn}.`);
  }
  if (file) onNotice?.(`What was in ${outputPath} is in ${file} now.`);
}

/** Finds before the first step that the file of what is trained cannot be written after the last. */
async function requirePlace(path: string): Promise<void> {
  try {
    await ensureDir(dirname(path));
    if (!(await Deno.lstat(path)).isDirectory) return;
  } catch (cause) {
    if (cause instanceof Deno.errors.NotFound) return;
    throw new MaspError(`Cannot write "${path}": ${(cause as Error).message}; check output_path and the permissions of its folder`, {
      cause,
    });
  }
  throw new MaspError(`Cannot write "${path}": it is a folder; give output_path the name of a file in it`);
}
