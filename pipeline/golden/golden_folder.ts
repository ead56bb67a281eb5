/** A folder of golden values: what PyTorch computes, to compare this machine with. Its README in `tests/golden/` describes the format. */
import { exists } from "@std/fs";
import { join } from "@std/path";
import { openSafetensors, type SafetensorsFile } from "../checkpoint/safetensors.ts";
import { MaspError } from "../errors.ts";
import { readJson } from "../read_json.ts";

/** A stage-1 or stage-2 sample as the folder records it. */
export interface GoldenSample {
  /** Path of the picture in the folder. */
  image: string;
  /** View, or `emotion`. */
  task: string;
  /** Question. */
  text: string;
  /** Answer. */
  label: string;
}

/** Settings and results of a recorded training. */
export interface GoldenTraining {
  /** Stage 1's samples in directory order. */
  samples?: GoldenSample[];
  /** Stage 2's samples. */
  train?: GoldenSample[];
  /** Samples of the evaluation. */
  test?: GoldenSample[];
  /** Views in order. */
  views?: string[];
  /** Queries of a view. */
  num_query_tokens?: number;
  /** Names of the prompt tokens, their ids, and the rows of embedding and head with them. */
  prefix_tokens?: string[];
  prefix_ids?: number[];
  rows_after_resize?: number;
  /** Highest rates of the stages, weight decay, warm-up, clipping. */
  lr1: number;
  lr2: number;
  wd: number;
  warmup_ratio: number;
  max_grad_norm: number;
  /** Which sample each step uses. */
  order: number[];
  /** Per step. */
  losses: number[];
  grad_norms: number[];
  lr?: number[];
}

/** A recorded prediction. */
export interface GoldenPrediction {
  /** Prompt text. */
  text: string;
  /** Decoded answer. */
  generated: string;
  /** Prediction. */
  pred: string;
  /** Label. */
  gold: string;
}

/** An open folder; dispose of it to close its file. */
export class GoldenFolder implements Disposable {
  /** Where it is. */
  readonly dir: string;
  /** `cases.json` */
  readonly cases: Record<string, unknown>;
  readonly #file: SafetensorsFile;

  /** Use {@linkcode openGoldenFolder}. */
  constructor(dir: string, parts: { cases: Record<string, unknown>; file: SafetensorsFile }) {
    this.dir = dir;
    this.cases = parts.cases;
    this.#file = parts.file;
  }

  /** The path of a file in the folder. */
  path(...parts: string[]): string {
    return join(this.dir, ...parts);
  }

  /** An entry of `cases.json`; `undefined` when it is not there. */
  case<T>(name: string): T | undefined {
    return this.cases[name] as T | undefined;
  }

  /** Whether there is a tensor of that name. */
  has(name: string): boolean {
    return this.#file.tensors.has(name);
  }

  /** Names of the tensors that begin with `prefix`. */
  names(prefix: string): string[] {
    return [...this.#file.tensors.keys()].filter((name) => name.startsWith(prefix)).sort();
  }

  /** Values of a tensor as numbers. */
  numbers(name: string): Float32Array | Uint8Array | number[] {
    const { data } = this.#file.readTensor(name);
    if (data instanceof Float32Array || data instanceof Uint8Array) return data;
    return Array.from(data as ArrayLike<number | bigint>, Number);
  }

  /** Shape of a tensor. */
  shape(name: string): number[] {
    const entry = this.#file.tensors.get(name);
    if (!entry) throw new MaspError(`"${this.dir}" has no tensor "${name}"`);
    return [...entry.shape];
  }

  /** Closes the file. */
  [Symbol.dispose](): void {
    this.#file[Symbol.dispose]();
  }
}

/**
 * Opens a folder of golden values.
 *
 * @throws {MaspError} naming the files that are missing
 */
export async function openGoldenFolder(dir: string): Promise<GoldenFolder> {
  const missing: string[] = [];
  for (const name of ["cases.json", "tensors.safetensors", "model", "prompts.json"]) if (!await exists(join(dir, name))) missing.push(name);
  if (missing.length) {
    throw new MaspError(
      `"${dir}" is no folder of golden values: ${missing.join(", ")} missing. See tests/golden/README.md for the format.`,
    );
  }
  const cases = await readJson(join(dir, "cases.json"));
  return new GoldenFolder(dir, { cases, file: openSafetensors(join(dir, "tensors.safetensors")) });
}
