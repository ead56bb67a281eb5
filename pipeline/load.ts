/** Stage "load": a Qwen2-VL checkpoint folder → a model on the GPU with its tokenizer, chat template and picture processor. */
import { join } from "@std/path";
import type { Gpu } from "../kernels/gpu.ts";
import { takesHalf } from "../kernels/linear/takes_half.ts";
import { isQuantized, type WeightType } from "../kernels/linear/weight_types.ts";
import { type ModelFolder, openModelFolder } from "./checkpoint/model_folder.ts";
import { readAhead } from "./checkpoint/read_ahead.ts";
import { MaspError } from "./errors.ts";
import { parseConfig, type VisionConfig } from "./qwen2_vl/config.ts";
import { createNetwork, type Network } from "./qwen2_vl/network.ts";
import { loadPictureProcessor, type PictureProcessor } from "./qwen2_vl/preprocess/preprocess.ts";
import { matrixType } from "./qwen2_vl/quantize.ts";
import { VisionTower } from "./qwen2_vl/vision_tower.ts";
import { loadWeights, storedBytes, type TensorSource } from "./qwen2_vl/load_weights.ts";
import { expectedTensors } from "./qwen2_vl/weights.ts";
import { readOptionalJson } from "./read_json.ts";
import { type ChatTemplate, loadChatTemplate } from "./text/chat_template.ts";
import { loadTokenizer, type Tokenizer } from "./text/tokenizer.ts";

/** A loaded checkpoint. Dispose of it to free its GPU memory. */
export interface Qwen2Vl extends Disposable {
  /** The device that holds it. */
  readonly gpu: Gpu;
  /** The folder that it came from. */
  readonly dir: string;
  /**
   * Hexadecimal number that tells models with other vision towers apart, and the number types and the precision that they are computed in: the
   * key of cached features.
   */
  readonly visionId: string;
  /** Hexadecimal number that tells whole models apart: a run goes on with its own only. */
  readonly modelId: string;
  /** Sizes, weights, tables. */
  readonly network: Network;
  /** Encodes pictures. */
  readonly vision: VisionTower;
  /** Text ↔ ids. */
  readonly tokenizer: Tokenizer;
  /** Messages → text. */
  readonly chatTemplate: ChatTemplate;
  /** Pixels → patches. */
  readonly processor: PictureProcessor;
  /** Tensors of the folder that the model does not use. */
  readonly unusedTensors: readonly string[];
}

/** Options of {@linkcode loadQwen2Vl}. */
export interface LoadQwen2VlOptions {
  /**
   * Number type of the matrices on the GPU. `auto` keeps what the file has, except that a software adapter gets f32, which it computes
   * fastest, where the weights take less than 2 GiB so. `int8` and `int4` are rounded while loading, in groups of 128 weights with a scale each;
   * with `int4`, the embedding, the head and the vision tower have 8 bits. Norms and biases stay f32, activations are never rounded.
   */
  weights?: WeightType | "auto";
  /** Told the bytes read so far and the bytes in all. */
  onProgress?: (bytes: number, total: number) => void;
  /** Makes the tensors, but reads no weights: to see what a run would need. */
  sizesOnly?: boolean;
}

/** Weights up to this many bytes are kept as f32 on a software adapter. */
const SMALL_MODEL_BYTES = 2 * 2 ** 30;

/**
 * Loads a checkpoint folder in the published format (see `config.json`, `*.safetensors`, `tokenizer.json`, `preprocessor_config.json`).
 * Tensors are streamed to the GPU in pieces of 8 MiB.
 *
 * @throws {MaspError} naming what is missing, damaged or of a wrong shape
 */
export async function loadQwen2Vl(gpu: Gpu, dir: string, options: LoadQwen2VlOptions = {}): Promise<Qwen2Vl> {
  using folder = await openModelFolder(dir);
  const generation = await readOptionalJson(join(dir, "generation_config.json"));
  const config = parseConfig(folder.config, { generation, name: dir });
  const [tokenizer, chatTemplate, processor] = await Promise.all([loadTokenizer(dir), loadChatTemplate(dir), loadPictureProcessor(dir)]);
  checkPatches(dir, { processor, vision: config.vision });
  const expected = expectedTensors(config);
  const unusedTensors = folder.checkTensors(expected);
  checkTypes(folder, expected);
  if (tokenizer.size > config.text.vocabulary + 4096) {
    throw new MaspError(
      `Cannot load "${dir}": tokenizer.json has ${tokenizer.size} tokens, config.json only ${config.text.vocabulary} rows. Are they of the same model?`,
    );
  }
  const total = [...expected.keys()].reduce((sum, name) => sum + storedBytes(folder.tensor(name)!), 0);
  const { weights: wanted = "auto" } = options;
  const type = wanted === "auto" ? automaticWeights(gpu, expected) : wanted;
  const weights = await loadWeights(gpu, sourceOf(folder, options), {
    config,
    weights: type,
    onProgress: (bytes) => options.onProgress?.(bytes, total),
  });
  using loading = new DisposableStack();
  const network = loading.use(createNetwork(gpu, { config, weights }));
  gpu.check();
  const vision = loading.use(new VisionTower(network));
  const visionId = await identify(folder, { config: config.vision, form: visionForm(gpu, folder, type), prefix: "visual." });
  const rounded = type && isQuantized(type) ? matrixType("visual.", { weights: type, stored: "" }) : "";
  const modelId = await identify(folder, { config, form: rounded, prefix: "" });
  const parts = loading.move();
  return {
    gpu,
    dir,
    visionId,
    modelId,
    network,
    vision,
    tokenizer,
    chatTemplate,
    processor,
    unusedTensors,
    [Symbol.dispose]: () => parts.dispose(),
  };
}

function sourceOf(folder: ModelFolder, { sizesOnly }: LoadQwen2VlOptions): TensorSource {
  return {
    find: (name) => folder.tensor(name),
    pieces: (names) =>
      readAhead(
        sizesOnly ? [] : names.map((name) => {
          const { file, name: stored } = folder.tensor(name)!;
          return file.part(stored);
        }),
      ),
  };
}

/** @throws {MaspError} when pictures would be cut into other patches than the vision tower takes */
function checkPatches(dir: string, { processor, vision }: { processor: PictureProcessor; vision: VisionConfig }): void {
  const { patchSize, mergeSize, temporalPatchSize } = processor.config;
  const pairs = [
    ["patch_size", patchSize, vision.patch],
    ["merge_size", mergeSize, vision.merge],
    ["temporal_patch_size", temporalPatchSize, vision.temporalPatch],
  ] as const;
  const wrong = pairs.filter(([, here, there]) => here !== there).map(([key, here, there]) =>
    `${key} is ${here}, config.json has ${there}`
  );
  if (wrong.length === 0) return;
  throw new MaspError(
    `Cannot load "${dir}": preprocessor_config.json is not of the same model as config.json (${
      wrong.join("; ")
    }); download or copy the checkpoint again`,
  );
}

/** @throws {MaspError} naming every tensor whose numbers are no floats of 16 or 32 bits */
function checkTypes(folder: ModelFolder, expected: ReadonlyMap<string, unknown>): void {
  const odd = [...expected.keys()].filter((name) => !["F32", "BF16", "F16"].includes(folder.tensor(name)!.dtype));
  if (odd.length === 0) return;
  const named = odd.slice(0, 5).map((name) => `${name} is ${folder.tensor(name)!.dtype}`).join(", ");
  throw new MaspError(
    `Cannot load "${folder.dir}": ${odd.length} of ${expected.size} tensors are of a number type that cannot be used (${named}` +
      `${odd.length > 5 ? ", …" : ""}), expected BF16, F16 or F32; take a checkpoint that is not quantised`,
  );
}

/**
 * The number type of weights where none is wanted: f32 for a small model on a software adapter, which gains nothing by others.
 *
 * @param expected shapes of the checkpoint's tensors
 * @returns nothing where the checkpoint's own is kept
 */
export function automaticWeights(gpu: Gpu, expected: ReadonlyMap<string, readonly number[]>): WeightType | undefined {
  const numbers = [...expected.values()].reduce((sum, shape) => sum + shape.reduce((a, b) => a * b, 1), 0);
  return gpu.software && 4 * numbers < SMALL_MODEL_BYTES ? "f32" : undefined;
}

/** What the features of one checkpoint depend on: the number type of the vision tower's matrices, and whether products round their factors to f16. */
function visionForm(gpu: Gpu, folder: ModelFolder, weights: WeightType | undefined): string {
  const name = folder.names().find((name) => name.startsWith("visual."));
  const dtype = matrixType("visual.", { weights, stored: name ? folder.tensor(name)!.dtype : "" });
  return [dtype, ...(takesHalf(gpu, { dtype }) ? ["half"] : []), ...(gpu.subgroupMatrices.length ? ["subgroup matrices"] : [])].join(", ");
}

/** Hash of sizes, of the beginning of each tensor whose name begins with `prefix`, and of the form that they are computed in. */
async function identify(folder: ModelFolder, options: { config: unknown; form: string; prefix: string }): Promise<string> {
  const { config, form, prefix } = options;
  const parts: Uint8Array[] = [new TextEncoder().encode(JSON.stringify(config) + form)];
  for (const name of folder.names().filter((name) => name.startsWith(prefix))) {
    const { file, name: stored } = folder.tensor(name)!;
    for (const chunk of file.chunks(stored, { chunkBytes: 4096 })) {
      parts.push(chunk.slice());
      break;
    }
  }
  const digest = await crypto.subtle.digest("SHA-256", await new Blob(parts as BlobPart[]).arrayBuffer());
  return [...new Uint8Array(digest).subarray(0, 8)].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}
