/** A Qwen2-VL checkpoint folder: its files found, its tensors listed under the published names, nothing loaded yet. */
import { exists } from "@std/fs";
import { join } from "@std/path";
import { MaspError } from "../errors.ts";
import { readJson } from "../read_json.ts";
import { openSafetensors, type SafetensorsFile } from "./safetensors.ts";
import { sameShape, showShape, type TensorDtype } from "./tensor_data.ts";

/** A tensor of a checkpoint folder. */
export interface ModelTensor {
  /** The file that holds it. */
  file: SafetensorsFile;
  /** Its name in that file, which may differ from the canonical one. */
  name: string;
  /** Element type. */
  dtype: TensorDtype;
  /** Extents, outermost first. */
  shape: number[];
}

/** Options of {@linkcode openModelFolder}. */
export interface OpenModelFolderOptions {
  /** Files that must be there beside the weights. Default: {@linkcode REQUIRED_FILES}. */
  requiredFiles?: readonly string[];
}

/** What a checkpoint folder holds beside its weights, as far as everything needs it. */
export const REQUIRED_FILES: readonly string[] = ["config.json", "tokenizer.json", "preprocessor_config.json"];

const SINGLE_FILE = "model.safetensors";
const INDEX_FILE = "model.safetensors.index.json";

/** An open checkpoint folder; {@linkcode openModelFolder} makes one. Dispose of it to close its files. */
export class ModelFolder implements Disposable {
  /** Where the folder is. */
  readonly dir: string;
  /** The contents of `config.json`, unchecked. */
  readonly config: Record<string, unknown>;
  #tensors: Map<string, ModelTensor>;
  #resources: DisposableStack;

  /**
   * Takes over the open files of a folder.
   *
   * @param dir Where the folder is.
   * @param content Its configuration, its tensors by canonical name, and the open files.
   */
  constructor(dir: string, content: { config: Record<string, unknown>; tensors: Map<string, ModelTensor>; resources: DisposableStack }) {
    this.dir = dir;
    this.config = content.config;
    this.#tensors = content.tensors;
    this.#resources = content.resources;
  }

  /** The tensor of a canonical name (`model.layers.0.…`, `visual.…`, `lm_head.weight`), if there is one. */
  tensor(canonicalName: string): ModelTensor | undefined {
    return this.#tensors.get(canonicalName);
  }

  /** The canonical names of all tensors, sorted. */
  names(): string[] {
    return [...this.#tensors.keys()].sort();
  }

  /**
   * Compares the folder with the tensors that a model needs.
   *
   * @param expected Shapes by canonical name.
   * @returns The canonical names of the tensors that are not among the expected ones.
   * @throws {MaspError} One error that lists every missing tensor and every wrong shape.
   */
  checkTensors(expected: ReadonlyMap<string, readonly number[]>): string[] {
    const faults: string[] = [];
    for (const [name, shape] of expected) {
      const found = this.#tensors.get(name);
      if (!found) faults.push(`${name} is missing, expected ${showShape(shape)}`);
      else if (!sameShape(found.shape, shape)) faults.push(`${name} has shape ${showShape(found.shape)}, expected ${showShape(shape)}`);
    }
    if (faults.length > 0) {
      throw new MaspError(
        `Cannot load "${this.dir}": ${faults.length} of ${expected.size} tensors do not fit config.json:\n  ${faults.join("\n  ")}\n` +
          `Check that config.json and the weights belong to the same checkpoint.`,
      );
    }
    return this.names().filter((name) => !expected.has(name));
  }

  /** Closes all files of the folder. */
  [Symbol.dispose](): void {
    this.#resources.dispose();
  }
}

/**
 * Opens a checkpoint folder: `config.json`, and `model.safetensors` or the shards of `model.safetensors.index.json`. Only headers are read.
 *
 * @param dir Where the folder is.
 * @param options See {@linkcode OpenModelFolderOptions}.
 * @throws {MaspError} Names every missing file at once; or the damaged file; or the tensors that the index promises and a shard lacks.
 */
export async function openModelFolder(dir: string, options: OpenModelFolderOptions = {}): Promise<ModelFolder> {
  const weights = await findWeights(dir, options.requiredFiles ?? REQUIRED_FILES);
  const config = await readJson(join(dir, "config.json"));
  using opening = new DisposableStack();
  const files = new Map(weights.files.map((name) => [name, opening.use(openSafetensors(join(dir, name)))]));
  const tensors = collect(dir, weights.index ?? wholeIndex(files), files);
  return new ModelFolder(dir, { config, tensors, resources: opening.move() });
}

/**
 * The published name of a tensor: transformers 4.52 and newer write `model.language_model.…` and `model.visual.…` where the published
 * checkpoints have `model.…` and `visual.…`.
 *
 * @example
 * ```ts
 * import { assertEquals } from "@std/assert";
 *
 * assertEquals(canonicalName("model.language_model.norm.weight"), "model.norm.weight");
 * assertEquals(canonicalName("model.visual.merger.ln_q.bias"), "visual.merger.ln_q.bias");
 * assertEquals(canonicalName("lm_head.weight"), "lm_head.weight");
 * ```
 */
export function canonicalName(name: string): string {
  if (name.startsWith("model.language_model.")) return "model." + name.slice("model.language_model.".length);
  return name.startsWith("model.visual.") ? name.slice("model.".length) : name;
}

/** Which shard holds a tensor, by the tensor's name in it. */
type WeightIndex = Map<string, string>;

async function findWeights(dir: string, required: readonly string[]): Promise<{ files: string[]; index?: WeightIndex }> {
  if (!(await exists(dir, { isDirectory: true }))) {
    throw new MaspError(`Cannot load "${dir}": there is no such folder, expected a Qwen2-VL checkpoint; check the path`);
  }
  const has = (name: string) => exists(join(dir, name), { isFile: true });
  const missing: string[] = [];
  for (const name of new Set(["config.json", ...required])) if (!(await has(name))) missing.push(`${name} is missing`);
  let index: WeightIndex | undefined;
  let files = [SINGLE_FILE];
  if (!(await has(SINGLE_FILE))) {
    if (await has(INDEX_FILE)) {
      index = await readIndex(join(dir, INDEX_FILE));
      files = [...new Set(index.values())].sort();
      for (const name of files) if (!(await has(name))) missing.push(`${name} (named by ${INDEX_FILE}) is missing`);
    } else missing.push(`${SINGLE_FILE} or ${INDEX_FILE} is missing`);
  }
  if (missing.length > 0) throw new MaspError(`Cannot load "${dir}": ${missing.join("; ")}; download or copy the checkpoint again`);
  return { files, index };
}

async function readIndex(path: string): Promise<WeightIndex> {
  const { weight_map: map } = await readJson(path);
  const isMap = typeof map === "object" && map !== null && Object.keys(map).length > 0;
  const wrong = isMap ? Object.entries(map).find(([, file]) => typeof file !== "string" || /[/\\]/.test(file)) : ["weight_map", map];
  if (wrong) {
    throw new MaspError(
      `Cannot load "${path}": ${wrong[0]} is ${JSON.stringify(wrong[1])?.slice(0, 80) ?? "missing"}, ` +
        `expected ${
          isMap ? "the name of a file in the same folder" : "an object of file names by tensor"
        }; download or copy the file again`,
    );
  }
  return new Map(Object.entries(map as Record<string, string>));
}

function wholeIndex(files: Map<string, SafetensorsFile>): WeightIndex {
  return new Map([...files].flatMap(([name, file]) => [...file.tensors.keys()].map((tensor) => [tensor, name])));
}

function collect(dir: string, index: WeightIndex, files: Map<string, SafetensorsFile>): Map<string, ModelTensor> {
  const tensors = new Map<string, ModelTensor>();
  const faults: string[] = [];
  for (const [name, fileName] of index) {
    const file = files.get(fileName)!;
    const entry = file.tensors.get(name);
    const canonical = canonicalName(name);
    const twin = tensors.get(canonical);
    if (!entry) faults.push(`${name} is not in ${fileName}, where ${INDEX_FILE} places it`);
    else if (twin) faults.push(`${name} and ${twin.name} are the same tensor`);
    else tensors.set(canonical, { file, name, dtype: entry.dtype, shape: entry.shape });
  }
  if (faults.length > 0) throw new MaspError(`Cannot load "${dir}": ${faults.join("; ")}; download or copy the checkpoint again`);
  return tensors;
}
