/** Where a training run stands, for going on after a stop: one file per saved step, whole or absent. */
import { crc32 } from "node:zlib";
import { ensureDir } from "@std/fs";
import { join } from "@std/path";
import { MaspError } from "../errors.ts";
import { removeTemporaryFiles } from "./atomic_write.ts";
import { openSafetensors, writeSafetensors } from "./safetensors.ts";
import { bytesOf, type TensorData } from "./tensor_data.ts";

/** Beginning of the files' names. */
const PREFIX = "checkpoint-";

/** The state of a training run after a step. */
export interface RunState {
  /** Number of steps that were done. */
  step: number;
  /** Parameters, optimizer moments, and whatever else is needed, by name. */
  tensors: Record<string, TensorData>;
  /** Anything that JSON can hold: seeds, settings, the place in the data. */
  info: unknown;
}

/** Options of {@linkcode saveRunState}. */
export interface SaveRunStateOptions {
  /** How many states up to this step stay on the disk. Default: 2. */
  keep?: number;
}

/** What {@linkcode loadLatestRunState} found. */
export interface LoadedRunState {
  /** The newest state that is whole, if there is one. */
  state: RunState | undefined;
  /** One line for each file that was passed over, since it is damaged. */
  warnings: string[];
}

/**
 * Saves the state of a run as `checkpoint-STEP.safetensors` and then removes older ones. A process that is killed meanwhile leaves the
 * former files as they were.
 *
 * @param dir The run's folder; made when missing. No other process may write into it.
 * @param state The state.
 * @param options See {@linkcode SaveRunStateOptions}.
 * @returns The path of the file.
 * @throws {MaspError} When the step is no whole number, or the file cannot be written.
 */
export async function saveRunState(dir: string, state: RunState, options: SaveRunStateOptions = {}): Promise<string> {
  const { step, tensors, info } = state;
  if (!Number.isSafeInteger(step) || step < 0) {
    throw new MaspError(`Cannot save a run in "${dir}": step is ${step}, expected a whole number`);
  }
  const path = statePath(dir, step);
  const metadata = { format: "pt", step: String(step), info: JSON.stringify(info ?? null), checksum: checksum(tensors) };
  await writeSafetensors(path, tensors, { metadata });
  await removeTemporaryFiles(dir, PREFIX);
  const outdated = (await savedSteps(dir)).filter((saved) => saved <= step).slice(Math.max(1, options.keep ?? 2));
  for (const old of outdated) await Deno.remove(statePath(dir, old));
  return path;
}

/**
 * Loads the newest state of a run that is whole.
 *
 * @param dir The run's folder; one that does not exist holds no state.
 * @returns The state, or none, and what was passed over.
 */
export async function loadLatestRunState(dir: string): Promise<LoadedRunState> {
  const warnings: string[] = [];
  for (const step of await savedSteps(dir)) {
    const path = statePath(dir, step);
    try {
      return { state: readRunState(path), warnings };
    } catch (error) {
      if (!(error instanceof MaspError)) throw error;
      warnings.push(`Passed over a damaged checkpoint. ${error.message}`);
    }
  }
  return { state: undefined, warnings };
}

/** Removes all states in a folder, which is made when missing. */
export async function clearRunStates(dir: string): Promise<void> {
  await ensureDir(dir);
  for (const step of await savedSteps(dir)) await Deno.remove(statePath(dir, step));
  await removeTemporaryFiles(dir, PREFIX);
}

/** The steps of which a folder holds a state, newest first. */
export async function savedSteps(dir: string): Promise<number[]> {
  const steps: number[] = [];
  try {
    for await (const { name } of Deno.readDir(dir)) {
      const match = /^checkpoint-(\d+)\.safetensors$/.exec(name);
      if (match) steps.push(Number(match[1]));
    }
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
  }
  return steps.sort((a, b) => b - a);
}

/** Where the state after a step is. */
export function statePath(dir: string, step: number): string {
  return join(dir, `${PREFIX}${step}.safetensors`);
}

function readRunState(path: string): RunState {
  using file = openSafetensors(path);
  const { step, info, checksum: expected } = file.metadata;
  if (step === undefined || info === undefined || expected === undefined) {
    throw new MaspError(`Cannot load "${path}": its metadata has no step, info and checksum, expected the state of a training run`);
  }
  const tensors: Record<string, TensorData> = {};
  for (const name of file.tensors.keys()) tensors[name] = file.readTensor(name);
  const found = checksum(tensors);
  if (found !== expected) throw new MaspError(`Cannot load "${path}": its tensors are damaged (checksum ${found}, expected ${expected})`);
  try {
    return { step: Number(step), tensors, info: JSON.parse(info) };
  } catch (cause) {
    throw new MaspError(`Cannot load "${path}": its info is no JSON (${(cause as Error).message})`, { cause });
  }
}

/** CRC-32 of all tensors' bytes in the order of their names. */
function checksum(tensors: Record<string, TensorData>): string {
  const sum = Object.keys(tensors).sort().reduce((value, name) => crc32(bytesOf(tensors[name].data), value), 0);
  return sum.toString(16).padStart(8, "0");
}
