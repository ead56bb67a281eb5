/** A checkpoint folder in the published format with seeded random weights, written as a stream: everything at full size without a download. */
import prompts from "../../../config/prompts.json" with { type: "json" };
import { ensureDir } from "@std/fs";
import { join } from "@std/path";
import { writeAll, writeFileAtomic } from "../../../pipeline/checkpoint/atomic_write.ts";
import { categoriesOf } from "../../../pipeline/data/categories.ts";
import { MaspError } from "../../../pipeline/errors.ts";
import { parseConfig } from "../../../pipeline/qwen2_vl/config.ts";
import { expectedTensors } from "../../../pipeline/qwen2_vl/weights.ts";
import { normalBf16 } from "./normal_weights.ts";
import { type Exponent, outliers } from "./outliers.ts";
import { CHAT_TEMPLATE, GENERATION_CONFIG, PREPROCESSOR_CONFIG } from "./published_config.ts";
import { syntheticTokenizer, syntheticTokenizerConfig } from "./synthetic_tokenizer.ts";

/** Options of {@linkcode makeCheckpoint}. */
export interface MakeCheckpointOptions {
  /** Contents of `config.json`; see `publishedConfig`. */
  config: Record<string, unknown>;
  /** Seed of the weights; 0 when left out. */
  seed?: number;
  /** Whether weights have outliers as published ones have (`outliers.ts`). */
  outliers?: boolean;
  /** Largest shard in bytes; 4 GiB when left out. */
  shardBytes?: number;
  /** Told the bytes written so far and the bytes in all. */
  onProgress?: (bytes: number, total: number) => void;
}

const PIECE = 8 << 20;

/**
 * Writes a checkpoint folder. The index of the shards comes last, so a folder that was left half-way does not pass for a checkpoint. Memory
 * use does not depend on the size.
 *
 * @param dir The folder; it is made where it is missing, and must not hold a checkpoint.
 * @returns Bytes of the weights.
 * @throws {MaspError} When the folder holds a `config.json` already.
 */
export async function makeCheckpoint(dir: string, options: MakeCheckpointOptions): Promise<number> {
  const { config, seed = 0, shardBytes = 4 * 2 ** 30, onProgress } = options;
  await ensureDir(dir);
  if (await Deno.stat(join(dir, "config.json")).catch(() => undefined)) {
    throw new MaspError(`"${dir}" holds a config.json already; name a new folder, or remove this one.`);
  }
  const parsed = parseConfig(config, { name: dir });
  const shapes = expectedTensors(parsed);
  const exponentOf = (name: string) => options.outliers ? outliers(name, parsed) : undefined;
  const shards = cutShards(shapes, shardBytes);
  const total = shards.reduce((sum, { bytes }) => sum + bytes, 0);
  const index: Record<string, string> = {};
  let written = 0;
  for (const [i, { names }] of shards.entries()) {
    const number = (n: number) => String(n).padStart(5, "0");
    const file = `model-${number(i + 1)}-of-${number(shards.length)}.safetensors`;
    for (const name of names) index[name] = file;
    await writeShard(join(dir, file), { names, shapes, seed, exponentOf, onPiece: (bytes) => onProgress?.(written += bytes, total) });
  }
  const json = (name: string, value: unknown) => writeFileAtomic(join(dir, name), JSON.stringify(value, null, 2));
  await json("generation_config.json", GENERATION_CONFIG);
  await json("preprocessor_config.json", PREPROCESSOR_CONFIG);
  await json("chat_template.json", { chat_template: CHAT_TEMPLATE });
  await json("tokenizer.json", syntheticTokenizer(words()));
  await json("tokenizer_config.json", syntheticTokenizerConfig(CHAT_TEMPLATE));
  await json("model.safetensors.index.json", { metadata: { total_size: total }, weight_map: index });
  await json("config.json", config);
  return total;
}

/** Tensors in their order, as many to a shard as fit. */
function cutShards(shapes: ReadonlyMap<string, readonly number[]>, shardBytes: number): { names: string[]; bytes: number }[] {
  const shards: { names: string[]; bytes: number }[] = [];
  for (const [name, shape] of shapes) {
    const bytes = 2 * elements(shape);
    const last = shards.at(-1);
    if (last && last.bytes + bytes <= shardBytes) {
      last.names.push(name);
      last.bytes += bytes;
    } else shards.push({ names: [name], bytes });
  }
  return shards;
}

interface Shard {
  names: readonly string[];
  shapes: ReadonlyMap<string, readonly number[]>;
  seed: number;
  exponentOf: (name: string) => Exponent | undefined;
  onPiece: (bytes: number) => void;
}

/** Writes one file; while a piece is on its way to the disk, the next one is made. */
async function writeShard(path: string, { names, shapes, seed, exponentOf, onPiece }: Shard): Promise<void> {
  const header: Record<string, unknown> = { __metadata__: { format: "pt" } };
  let offset = 0;
  for (const name of names) {
    const shape = shapes.get(name)!;
    const end = offset + 2 * elements(shape);
    header[name] = { dtype: "BF16", shape, data_offsets: [offset, end] };
    offset = end;
  }
  const text = new TextEncoder().encode(JSON.stringify(header));
  const start = new Uint8Array(8 + Math.ceil(text.length / 8) * 8).fill(0x20);
  new DataView(start.buffer).setBigUint64(0, BigInt(start.length - 8), true);
  start.set(text, 8);
  using file = await Deno.open(path, { write: true, create: true, truncate: true });
  await writeAll(file, start);
  const pieces = [new Uint16Array(PIECE / 2), new Uint16Array(PIECE / 2)];
  let writing = Promise.resolve();
  for (const name of names) {
    const fill = normalBf16(seed, { stream: name, ...distribution(name, shapes.get(name)!) });
    const exponent = exponentOf(name);
    const all = elements(shapes.get(name)!);
    for (let first = 0; first < all; first += PIECE / 2) {
      const piece = pieces[0].subarray(0, Math.min(all - first, PIECE / 2));
      pieces.reverse();
      fill(piece);
      if (exponent) scale(piece, (i) => exponent(first + i));
      await writing;
      writing = writeAll(file, new Uint8Array(piece.buffer, 0, piece.byteLength)).then(() => onPiece(piece.byteLength));
    }
  }
  await writing;
}

/**
 * Mean and deviation of a tensor's numbers: norms near 1, biases and embeddings as large as trained ones, and matrices that keep the size of
 * what goes through them, so that activations, logits and gradients of many layers stay in range.
 */
function distribution(name: string, shape: readonly number[]): { mean?: number; std: number } {
  if (name.endsWith(".bias")) return { std: 0.02 };
  if (shape.length === 1) return { mean: 1, std: 0.05 };
  if (name === "model.embed_tokens.weight" || name === "lm_head.weight") return { std: 0.02 };
  return { std: 1 / Math.sqrt(elements(shape.slice(1))) };
}

/** Multiplies bf16 numbers by powers of two, none so small or large that it leaves the normal ones. */
function scale(numbers: Uint16Array, exponent: Exponent): void {
  for (let i = 0; i < numbers.length; i++) if (numbers[i] & 0x7f80) numbers[i] += exponent(i) << 7;
}

function elements(shape: readonly number[]): number {
  return shape.reduce((a, b) => a * b, 1);
}

/** Words of the project's questions and answers; those of the answers first, since they stand without a space before them. */
function words(): string[] {
  const answers = ["EmoSet", "Emotion6", "Abstract", "Flickr"].flatMap(categoriesOf);
  const questions = Object.values(prompts).flat().join(" ").match(/\p{L}+/gu) ?? [];
  return [...new Set([...answers, ...questions, "You", "are", "a", "helpful"])];
}
