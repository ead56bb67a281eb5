/** Soft prompts on disk: the reference's `.pt` with one vector per token, and safetensors. N prompt tokens, D hidden size. */
import { extname } from "@std/path";
import { MaspError } from "../errors.ts";
import { openSafetensors, writeSafetensors } from "./safetensors.ts";
import { asFloat32, showShape, type TensorData } from "./tensor_data.ts";
import { readTorchFile, writeTorchFile } from "./torch_file.ts";
import { describeTorchValue, isTensor } from "./torch_value.ts";

/** A soft prompt: the embedding rows of the prompt tokens. */
export interface SoftPromptParameters {
  /** (N, D), in the order of {@linkcode SoftPromptParameters.tokens}. */
  rows: Float32Array;
  /** N, the number of prompt tokens. */
  count: number;
  /** D, the hidden size. */
  hidden: number;
  /** The tokens' texts, `<|reserved_special_token_0|>` first. */
  tokens: string[];
  /** How they were tuned, where the file says so; the reference's form does not. */
  tuning?: PromptTuning;
}

/** How a soft prompt was tuned: used otherwise, it is not what was learnt. */
export interface PromptTuning {
  /** Where the tokens stood in a chat: `code` or `paper`. */
  layout: string;
  /** Views whose aspect tokens stood before them, in their order; none for a prompt that was tuned without. */
  views: string[];
}

/**
 * The text of a prompt token.
 *
 * @example
 * ```ts
 * import { assertEquals } from "@std/assert";
 *
 * assertEquals(promptToken(3), "<|reserved_special_token_3|>");
 * ```
 */
export function promptToken(index: number): string {
  return `<|reserved_special_token_${index}|>`;
}

/**
 * Reads a soft prompt.
 *
 * @param path `.pt` or `.pth` (as the reference's stage 2 saves it) or `.safetensors` (one tensor `prefix`).
 * @throws {MaspError} When the file cannot be read, is of another kind, or its vectors do not fit each other.
 */
export async function readSoftPromptFile(path: string): Promise<SoftPromptParameters> {
  return isSafetensors(path) ? readPrefix(path) : await readReference(path);
}

/**
 * Writes a soft prompt, whole or not at all.
 *
 * @param path `.pt` or `.pth` for the reference's form, which its evaluation loads, or `.safetensors`.
 * @param prompt The prompt's rows.
 * @throws {MaspError} When the extension is another one, the rows do not fit the sizes, or the file cannot be written.
 */
export async function writeSoftPromptFile(path: string, prompt: SoftPromptParameters): Promise<void> {
  const { rows, count, hidden, tokens, tuning } = prompt;
  if (rows.length !== count * hidden || tokens.length !== count) {
    throw new MaspError(
      `Cannot write "${path}": ${rows.length} values for ${tokens.length} tokens, expected ${count}·${hidden} for ${count}`,
    );
  }
  if (isSafetensors(path)) {
    const prefix: TensorData = { dtype: "F32", shape: [count, hidden], data: rows };
    const metadata = { format: "pt", tokens: JSON.stringify(tokens), ...(tuning && { tuning: JSON.stringify(tuning) }) };
    return await writeSafetensors(path, { prefix }, { metadata });
  }
  const row = (i: number): TensorData => ({ dtype: "F32", shape: [hidden], data: rows.subarray(i * hidden, (i + 1) * hidden) });
  await writeTorchFile(path, new Map(tokens.map((token, i) => [token, row(i)])));
}

function isSafetensors(path: string): boolean {
  const extension = extname(path).toLowerCase();
  if (![".safetensors", ".pth", ".pt"].includes(extension)) {
    throw new MaspError(`"${path}" has the extension "${extension}", expected .safetensors, .pt or .pth for a soft prompt`);
  }
  return extension === ".safetensors";
}

function fault(path: string, what: string): MaspError {
  return new MaspError(`Cannot load "${path}": ${what}; use the soft prompt that stage 2 writes`);
}

function readPrefix(path: string): SoftPromptParameters {
  using file = openSafetensors(path);
  const names = [...file.tensors.keys()];
  if (names.length !== 1 || names[0] !== "prefix") {
    throw fault(path, `it holds the tensors ${names.slice(0, 4).join(", ") || "(none)"}, expected "prefix" alone`);
  }
  const prefix = file.readTensor("prefix");
  const [count, hidden] = prefix.shape;
  if (prefix.shape.length !== 2 || count === 0 || hidden === 0) {
    throw fault(path, `prefix has shape ${showShape(prefix.shape)}, expected (tokens, hidden size)`);
  }
  const { tokens, tuning } = file.metadata;
  return { rows: floats(path, "prefix", prefix), count, hidden, tokens: tokenTexts(tokens, count), ...tuningOf(tuning) };
}

/** What this program wrote into the metadata. */
function tuningOf(metadata: string | undefined): { tuning?: PromptTuning } {
  try {
    const { layout, views } = JSON.parse(metadata ?? "{}");
    const known = typeof layout === "string" && Array.isArray(views) && views.every((view) => typeof view === "string");
    return known ? { tuning: { layout, views } } : {};
  } catch {
    return {}; // another program's
  }
}

/** The texts that this program wrote into the metadata, else the reference's. */
function tokenTexts(metadata: string | undefined, count: number): string[] {
  try {
    const texts: unknown = JSON.parse(metadata ?? "null");
    if (Array.isArray(texts) && texts.length === count && texts.every((text) => typeof text === "string")) return texts;
  } catch {
    // Another program's metadata.
  }
  return Array.from({ length: count }, (_, i) => promptToken(i));
}

/** `{"<|reserved_special_token_i|>": (D)}`, each vector usually a view into the whole embedding. */
async function readReference(path: string): Promise<SoftPromptParameters> {
  const value = await readTorchFile(path);
  if (!(value instanceof Map) || value.size === 0) {
    const found = value instanceof Map ? "an empty dict" : describeTorchValue(value);
    throw fault(path, `it holds ${found}, expected a dict of vectors named ${promptToken(0)}, …`);
  }
  const count = value.size;
  const tokens = Array.from({ length: count }, (_, i) => promptToken(i));
  const unknown = [...value.keys()].filter((key) => !tokens.includes(String(key)));
  if (unknown.length > 0) {
    throw fault(path, `it names ${unknown.slice(0, 4).join(", ")}, expected ${count} vectors ${tokens[0]} to ${tokens[count - 1]}`);
  }
  const first = value.get(tokens[0]);
  if (!isTensor(first) || first.shape.length !== 1 || first.shape[0] === 0) {
    throw fault(path, `${tokens[0]} is ${describeTorchValue(first)}, expected a vector of the hidden size`);
  }
  const [hidden] = first.shape;
  const rows = new Float32Array(count * hidden);
  for (const [i, token] of tokens.entries()) {
    const vector = value.get(token);
    if (!isTensor(vector) || vector.shape.length !== 1 || vector.shape[0] !== hidden) {
      throw fault(path, `${token} is ${describeTorchValue(vector)}, expected a vector (${hidden},) as ${tokens[0]} is`);
    }
    rows.set(floats(path, token, vector), i * hidden);
  }
  return { rows, count, hidden, tokens };
}

function floats(path: string, name: string, tensor: TensorData): Float32Array {
  if (!/^(F|BF)(16|32|64)$/.test(tensor.dtype)) throw fault(path, `${name} has elements of type ${tensor.dtype}, expected floats`);
  return asFloat32(tensor);
}
