/** The header of a safetensors file: 8 bytes of length, then JSON (https://huggingface.co/docs/safetensors). */
import { MaspError } from "../errors.ts";
import { DTYPE_BYTES, elementCount, isTensorDtype, showShape, type TensorDtype } from "./tensor_data.ts";

/** Where a tensor lies in a safetensors file. */
export interface SafetensorsEntry {
  /** Element type. */
  dtype: TensorDtype;
  /** Extents, outermost first. */
  shape: number[];
  /** First byte, from the beginning of the file. */
  begin: number;
  /** Byte after the last one, from the beginning of the file. */
  end: number;
}

/** What a safetensors header says. */
export interface SafetensorsHeader {
  /** By name, in the header's order. */
  tensors: Map<string, SafetensorsEntry>;
  /** The texts under `__metadata__`. */
  metadata: Record<string, string>;
}

/** Bytes that hold the header's length. */
export const LENGTH_BYTES = 8;

/** Longest header that the format allows, in bytes. */
export const MAX_HEADER_BYTES = 100_000_000;

/**
 * Checks a header: known types, whole shapes, offsets that agree with them, tensors side by side with neither holes nor overlaps, and a
 * file that ends with its last tensor.
 *
 * @param json The header's bytes, without the length before them.
 * @param path For the messages.
 * @param options `fileBytes`: size of the whole file in bytes.
 * @throws {MaspError} When anything of that does not hold.
 */
export function parseSafetensorsHeader(json: Uint8Array, path: string, options: { fileBytes: number }): SafetensorsHeader {
  const header = parseObject(json, path);
  const metadata = parseMetadata(header["__metadata__"], path);
  const dataBegin = LENGTH_BYTES + json.length;
  const tensors = new Map<string, SafetensorsEntry>();
  for (const [name, value] of Object.entries(header)) {
    if (name !== "__metadata__") tensors.set(name, parseEntry(value, { path, name, dataBegin }));
  }
  checkLayout(tensors, path, { dataBegin, fileBytes: options.fileBytes });
  return { tensors, metadata };
}

/** An error about a damaged safetensors file. */
export function damaged(path: string, what: string, cause?: unknown): MaspError {
  return new MaspError(`Cannot load "${path}": ${what}; download or copy the file again`, { cause });
}

function parseObject(json: Uint8Array, path: string): Record<string, unknown> {
  let value: unknown;
  try {
    value = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(json));
  } catch (cause) {
    throw damaged(path, `its header of ${json.length} bytes is no JSON (${(cause as Error).message}), expected a safetensors file`, cause);
  }
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    throw damaged(path, `its header is ${JSON.stringify(value).slice(0, 40)}, expected a JSON object of tensors`);
  }
  return value as Record<string, unknown>;
}

function parseMetadata(value: unknown, path: string): Record<string, string> {
  if (value === undefined) return {};
  const isTexts = typeof value === "object" && value !== null && Object.values(value).every((text) => typeof text === "string");
  if (!isTexts) throw damaged(path, `the header's __metadata__ is ${JSON.stringify(value).slice(0, 80)}, expected an object of texts`);
  return value as Record<string, string>;
}

function parseEntry(value: unknown, at: { path: string; name: string; dataBegin: number }): SafetensorsEntry {
  const { dtype, shape, data_offsets: offsets } = (value ?? {}) as Record<string, unknown>;
  const wrong = (key: string, found: unknown, expected: string) =>
    damaged(at.path, `tensor "${at.name}" has ${key} ${JSON.stringify(found)}, expected ${expected}`);
  if (!isTensorDtype(dtype)) throw wrong("dtype", dtype, `one of ${Object.keys(DTYPE_BYTES).join(", ")}`);
  if (!isCounts(shape) || !Number.isSafeInteger(elementCount(shape))) throw wrong("shape", shape, "a list of whole numbers");
  if (!isCounts(offsets) || offsets.length !== 2 || offsets[0] > offsets[1]) throw wrong("data_offsets", offsets, "[begin, end]");
  const expected = elementCount(shape) * DTYPE_BYTES[dtype];
  if (offsets[1] - offsets[0] !== expected) {
    const found = offsets[1] - offsets[0];
    throw damaged(at.path, `tensor "${at.name}" takes ${found} bytes, expected ${expected} for ${dtype} ${showShape(shape)}`);
  }
  return { dtype, shape, begin: at.dataBegin + offsets[0], end: at.dataBegin + offsets[1] };
}

function isCounts(value: unknown): value is number[] {
  return Array.isArray(value) && value.every((n) => Number.isSafeInteger(n) && n >= 0);
}

function checkLayout(tensors: Map<string, SafetensorsEntry>, path: string, sizes: { dataBegin: number; fileBytes: number }): void {
  let expected = sizes.dataBegin;
  let before = "the header";
  for (const [name, { begin, end }] of [...tensors].sort(([, a], [, b]) => a.begin - b.begin || a.end - b.end)) {
    if (begin !== expected) {
      const what = begin < expected ? `overlaps ${before}` : `leaves a hole after ${before}`;
      throw damaged(path, `tensor "${name}" ${what}: it begins at byte ${begin}, expected ${expected}`);
    }
    [expected, before] = [end, `"${name}"`];
  }
  if (sizes.fileBytes !== expected) {
    const what = sizes.fileBytes < expected ? "it is truncated" : "it is longer than its header says";
    throw damaged(path, `${what}: found ${sizes.fileBytes} bytes, expected ${expected}`);
  }
}
