/** The loop that both stages share: order of the samples, schedule, losses read in bunches, checkpoints, going on after a stop. */
import type { Gpu } from "../../kernels/gpu.ts";
import type { Tensor } from "../../kernels/tensor.ts";
import { loadLatestRunState, saveRunState } from "../checkpoint/run_state.ts";
import type { TensorData } from "../checkpoint/tensor_data.ts";
import { MaspError } from "../errors.ts";
import { requireSame } from "./identity.ts";
import { learningRateAt, type ScheduleType } from "./schedule.ts";
import { groupSteps } from "./step_grouping.ts";
import { StepReader } from "./step_reader.ts";

/** Steps of one sample each that can be computed together, since they change different parameters. */
export interface StepGrouping<S> {
  /** Steps that are computed together at most. */
  readonly most: number;
  /** Take steps that change the same thing in turn, one by one, since a change to another is slow. */
  readonly inTurn?: boolean;
  /** What a sample's step changes. */
  changes(sample: S): string;
  /**
   * Takes steps that all change different things.
   *
   * @returns tensors whose first numbers are a step's loss and the norm of its gradient, until the next call
   */
  takeSteps(steps: readonly { sample: S; learningRate: number }[]): Promise<{ loss: Tensor; norm: Tensor }[]>;
}

/** What trains: adds up gradients of single samples, then takes a step. */
export interface Trainable<S> {
  /** The device. */
  readonly gpu: Gpu;
  /** Which steps of one sample each can be computed together. */
  readonly grouping?: StepGrouping<S>;
  /** Makes ready what a sample will need soon. */
  prefetch?(samples: readonly S[]): void;
  /** Forgets the gradients of the step before. */
  begin(): void;
  /** Adds a sample's gradients, weighted; @returns the tensor (1) that holds its weighted loss until the next call */
  accumulate(sample: S, options: { weight: number; step: number }): Promise<Tensor>;
  /** Clips and updates; @returns the tensor whose first number is the gradient's norm before clipping, until the next call */
  update(options: { learningRate: number }): Tensor | Promise<Tensor>;
  /** Parameters and moments. */
  state(): Promise<Record<string, TensorData>>;
  /** Puts a saved state back. */
  restore(tensors: Readonly<Record<string, TensorData>>): void | Promise<void>;
}

/** Settings of a run. */
export interface TrainingOptions {
  /** Passes over the samples. */
  epochs: number;
  /** Highest learning rate. */
  learningRate: number;
  /** Part of the steps in which the rate rises. */
  warmupRatio?: number;
  /** Shape of the schedule. */
  schedule?: ScheduleType;
  /** Samples of a step: mean over them. */
  batchSize?: number;
  /** Batches of a step: mean over them. */
  gradientAccumulation?: number;
  /** Ends after so many steps, whatever the epochs say (the schedule is that of the whole run). */
  maxSteps?: number;
  /** Folder of the checkpoints; none are written when left out. */
  checkpointDir?: string;
  /** A checkpoint every so many steps, or after every pass over the samples; only at the end when 0. */
  saveEvery?: number | "epoch";
  /** Goes on from the newest checkpoint of the folder. */
  resume?: boolean;
  /** Settings that a checkpoint must share to be gone on from. */
  identity?: Readonly<Record<string, unknown>>;
  /** Ends the run with a checkpoint after the step in progress; where steps are computed together, after all of these. */
  signal?: AbortSignal;
  /** Told of damaged checkpoints that were passed over. */
  onWarning?: (text: string) => void;
  /** Gives what a checkpoint shall hold beside the training's own state: anything that JSON can hold. */
  notes?: () => unknown;
  /** Told where the run begins, before its first step. */
  onBegin?: (beginning: TrainingBeginning) => void | Promise<void>;
  /** Told the step of every checkpoint that was written. */
  onSave?: (step: number) => void;
}

/** Where a run begins. */
export interface TrainingBeginning {
  /** 0, or the step of the checkpoint that it goes on from. */
  step: number;
  /** Steps of the whole run. */
  totalSteps: number;
  /** What `notes` gave for that checkpoint. */
  notes?: unknown;
}

/** A finished step. */
export interface TrainingStep {
  /** Number of the step, from 0. */
  step: number;
  /** Steps of the whole run. */
  totalSteps: number;
  /** Mean loss of the step's samples. */
  loss: number;
  /** Norm of the gradient before clipping. */
  gradientNorm: number;
  /** Rate of the step. */
  learningRate: number;
  /** Passes over the samples that were finished with this step. */
  epoch: number;
}

/** Among so many steps those are looked for that can be computed together. Windows begin at multiples of this, whenever a run began. */
const WINDOW = 32;

/**
 * Trains.
 *
 * @param order samples of a pass over the data, given its number: the same at each call
 * @throws {MaspError} when a loss is not finite, or the checkpoint to go on from is of another run; when a sample cannot be had, after a checkpoint
 * where the parameters are those of a whole number of steps
 */
export async function* train<S>(
  trainable: Trainable<S>,
  options: TrainingOptions & { order: (epoch: number) => readonly S[]; samples: number },
): AsyncGenerator<TrainingStep> {
  const { order, samples, epochs, checkpointDir, signal } = options;
  const perStep = (options.batchSize ?? 1) * (options.gradientAccumulation ?? 1);
  const stepsPerEpoch = Math.ceil(samples / perStep);
  const totalSteps = epochs * stepsPerEpoch;
  const lastStep = Math.min(totalSteps, options.maxSteps ?? Infinity);
  const schedule = { learningRate: options.learningRate, totalSteps, warmupRatio: options.warmupRatio ?? 0, type: options.schedule };
  const identity = JSON.stringify({ ...options.identity, totalSteps, perStep, schedule });
  const { onWarning } = options;
  const begin = options.resume && checkpointDir ? await resume(trainable, { dir: checkpointDir, identity, onWarning }) : { step: 0 };
  if (signal?.aborted) return;
  let { step } = begin;
  let saved = step;
  await options.onBegin?.({ ...begin, totalSteps });
  const saveEvery = options.saveEvery === "epoch" ? stepsPerEpoch : options.saveEvery ?? 0;
  const { grouping: possible } = trainable;
  const grouping = perStep === 1 && possible && (possible.most > 1 || possible.inTurn) ? possible : undefined;
  await using reader = new StepReader(trainable.gpu, {
    first: step,
    losses: perStep,
    together: grouping?.most ?? 1,
    check: ({ step, loss, gradientNorm, learningRate }) => {
      if (Number.isFinite(loss) && Number.isFinite(gradientNorm)) return;
      const what = Number.isFinite(loss) ? `norm of the gradient is ${gradientNorm}` : `loss is ${loss}`;
      throw notFinite(`${what} at step ${step}`, { saved, learningRate });
    },
  });
  const factsOf = (step: number) => ({ step, totalSteps, learningRate: learningRateAt(step, schedule), epoch: (step + 1) / stepsPerEpoch });
  const save = async () => {
    if (!checkpointDir || saved === step) return;
    const tensors = await trainable.state();
    const wrong = Object.keys(tensors).find((name) => !allFinite(tensors[name]));
    if (wrong) throw notFinite(`tensor "${wrong}" holds a number that is not finite after step ${step - 1}`, { saved });
    await saveRunState(checkpointDir, { step, tensors, info: { identity, notes: options.notes?.() } });
    saved = step;
    options.onSave?.(step);
  };
  let epochOrder: { epoch: number; samples: readonly S[] } | undefined;
  let whole = true; // the parameters are those after `step`, and no others
  const stop = async function* (error: MaspError): AsyncGenerator<TrainingStep, MaspError> {
    if (whole) {
      yield* await reader.read();
      yield* await reader.read();
      await save();
    }
    return stopped(error, { saved });
  };
  while (step < lastStep && !signal?.aborted) {
    const epoch = Math.floor(step / stepsPerEpoch);
    if (epochOrder?.epoch !== epoch) epochOrder = { epoch, samples: order(epoch) };
    const first = (step % stepsPerEpoch) * perStep;
    if (grouping) {
      const steps = Math.min(lastStep, ...[WINDOW, stepsPerEpoch, saveEvery || Infinity].map((size) => behind(step, size))) - step;
      const window = epochOrder.samples.slice(first, first + steps);
      const groups = groupSteps(window.map((sample) => grouping.changes(sample)), grouping);
      const next = epochOrder.samples.slice(first + steps, first + steps + grouping.most);
      for (const [g, group] of groups.entries()) {
        trainable.prefetch?.([...group, ...(groups[g + 1] ?? [])].map((i) => window[i]).concat(groups[g + 1] ? [] : next));
        const facts = group.map((i) => factsOf(step + i));
        const asked = group.map((i, k) => ({ sample: window[i], learningRate: facts[k].learningRate }));
        const taken = await grouping.takeSteps(asked).catch(faulty);
        if (taken instanceof MaspError) throw yield* stop(taken);
        whole = false;
        taken.forEach(({ loss, norm }, k) => reader.add(facts[k], { losses: [reader.keep(loss)], norm: reader.keep(norm) }));
        if (reader.due) yield* await reader.read();
      }
      step += steps;
      whole = true;
    } else {
      const batch = epochOrder.samples.slice(first, first + perStep);
      trainable.prefetch?.(epochOrder.samples.slice(first, first + 3 * perStep));
      trainable.begin();
      const losses: number[] = [];
      for (const sample of batch) {
        const loss = await trainable.accumulate(sample, { weight: 1 / batch.length, step }).catch(faulty);
        if (loss instanceof MaspError) throw yield* stop(loss);
        losses.push(reader.keep(loss));
      }
      const facts = factsOf(step);
      reader.add(facts, { losses, norm: reader.keep(await trainable.update(facts)) });
      step++;
    }
    const due = saveEvery > 0 && step % saveEvery === 0;
    if (reader.due || due) yield* await reader.read();
    if (due) {
      yield* await reader.read();
      await save();
    }
  }
  yield* await reader.read();
  yield* await reader.read();
  await save();
}

/** The multiple of a size behind a step. */
function behind(step: number, size: number): number {
  return (Math.floor(step / size) + 1) * size;
}

/** A fault of the input, such as a picture that is gone, to be handled where the checkpoint is; other errors are thrown. */
function faulty(error: unknown): MaspError {
  if (error instanceof MaspError) return error;
  throw error;
}

function stopped(cause: MaspError, { saved }: { saved: number }): MaspError {
  const onward = saved === 0 ? "" : " When this is mended, --resume goes on from there.";
  return new MaspError(`Training stopped. ${cause.message}\n${leftAt(saved)}${onward}`, { cause });
}

function leftAt(saved: number): string {
  return saved === 0 ? "No checkpoint had been written yet." : `The checkpoint of step ${saved} is in place.`;
}

function notFinite(what: string, options: { saved: number; learningRate?: number }): MaspError {
  const { saved, learningRate } = options;
  const left = leftAt(saved);
  const rate = learningRate === undefined ? "" : ` (this step's was ${learningRate})`;
  return new MaspError(`Training stopped: the ${what}. ${left} Try a lower learning rate${rate} or a longer warm-up.`);
}

/** Whether an f32 tensor holds only finite numbers (others are whole numbers). */
function allFinite({ data }: TensorData): boolean {
  let sum = 0;
  if (data instanceof Float32Array) { for (let i = 0; i < data.length; i++) sum += 0 * data[i]; // 0 · NaN and 0 · Infinity are NaN
   }
  return sum === 0;
}

async function resume<S>(
  trainable: Trainable<S>,
  options: { dir: string; identity: string; onWarning?: (text: string) => void },
): Promise<{ step: number; notes?: unknown }> {
  const { state, warnings } = await loadLatestRunState(options.dir);
  for (const warning of warnings) options.onWarning?.(warning);
  if (!state) return { step: 0 };
  const { identity, notes } = (state.info ?? {}) as { identity?: string; notes?: unknown };
  requireSame(JSON.parse(identity ?? "{}"), JSON.parse(options.identity), `the checkpoint of step ${state.step} in "${options.dir}"`);
  await trainable.restore(state.tensors);
  return { step: state.step, notes };
}
