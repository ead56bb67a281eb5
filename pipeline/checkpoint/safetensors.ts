/** Safetensors files: headers read at once, tensors only when asked for. */
import { MaspError } from "../errors.ts";
import { openFile } from "./open_file.ts";
import type { FilePart } from "./read_ahead.ts";
import { writeAll, writeAtomically } from "./atomic_write.ts";
import { damaged, LENGTH_BYTES, MAX_HEADER_BYTES, parseSafetensorsHeader, type SafetensorsEntry } from "./safetensors_header.ts";
import { bytesOf, DTYPE_BYTES, elementCount, showShape, type TensorData, typedArray } from "./tensor_data.ts";

export type { SafetensorsEntry } from "./safetensors_header.ts";

/** Options of {@linkcode SafetensorsFile.chunks}. */
export interface ChunksOptions {
  /** Largest chunk in bytes, rounded down to a multiple of 16 (at least 16). Default: 8 MiB. */
  chunkBytes?: number;
}

/** An open safetensors file; {@linkcode openSafetensors} makes one. Only its header is in memory. */
export class SafetensorsFile implements Disposable {
  /** Where the file is. */
  readonly path: string;
  /** Its tensors by name, in the header's order. */
  readonly tensors: ReadonlyMap<string, SafetensorsEntry>;
  /** The header's `__metadata__`. */
  readonly metadata: Readonly<Record<string, string>>;
  #file: Deno.FsFile;
  #scratch: Uint8Array | undefined;

  /** Reads and checks the header of an open file, which belongs to this object afterwards. */
  constructor(path: string, file: Deno.FsFile) {
    this.path = path;
    this.#file = file;
    const fileBytes = file.statSync().size;
    const { tensors, metadata } = parseSafetensorsHeader(this.#readHeader(fileBytes), path, { fileBytes });
    this.tensors = tensors;
    this.metadata = metadata;
  }

  /**
   * The bytes of a whole tensor, in memory of their own; see `typedArray` and `toFloat32` for their values.
   *
   * @throws {MaspError} When there is no such tensor, or the file has been cut meanwhile.
   */
  read(name: string): Uint8Array {
    const { begin, end } = this.#entry(name);
    const bytes = new Uint8Array(end - begin);
    this.#fill(bytes, begin);
    return bytes;
  }

  /** A whole tensor with its type and shape. @throws {MaspError} As {@linkcode SafetensorsFile.read}. */
  readTensor(name: string): TensorData {
    const { dtype, shape } = this.#entry(name);
    return { dtype, shape: [...shape], data: typedArray(this.read(name), dtype) };
  }

  /** Where a tensor's bytes lie. @throws {MaspError} When there is no such tensor. */
  part(name: string): FilePart {
    const { begin, end } = this.#entry(name);
    return { path: this.path, begin, end };
  }

  /**
   * The bytes of a tensor piece by piece, so that a tensor can be uploaded without being in memory as a whole. Each chunk lies in the
   * same buffer: it holds until the next one is asked for.
   *
   * @throws {MaspError} As {@linkcode SafetensorsFile.read}.
   */
  *chunks(name: string, options: ChunksOptions = {}): Generator<Uint8Array, void, void> {
    const { begin, end } = this.#entry(name);
    const wanted = Math.max(16, Math.floor((options.chunkBytes ?? 8 << 20) / 16) * 16);
    const length = Math.min(wanted, end - begin);
    const buffer = this.#scratch && this.#scratch.length >= length ? this.#scratch : new Uint8Array(length);
    this.#scratch = undefined; // A second reader at the same time gets a buffer of its own.
    try {
      for (let at = begin; at < end; at += length) {
        const chunk = buffer.subarray(0, Math.min(length, end - at));
        this.#fill(chunk, at);
        yield chunk;
      }
    } finally {
      this.#scratch = buffer;
    }
  }

  /** Closes the file. */
  [Symbol.dispose](): void {
    this.#file.close();
    this.#scratch = undefined;
  }

  #readHeader(fileBytes: number): Uint8Array {
    if (fileBytes < LENGTH_BYTES) {
      throw damaged(this.path, `it is truncated: found ${fileBytes} bytes, expected at least ${LENGTH_BYTES}`);
    }
    const lengthBytes = new Uint8Array(LENGTH_BYTES);
    this.#fill(lengthBytes, 0);
    const length = Number(new DataView(lengthBytes.buffer).getBigUint64(0, true));
    if (length > MAX_HEADER_BYTES) {
      throw damaged(
        this.path,
        `its first 8 bytes give a header of ${length} bytes, expected at most ${MAX_HEADER_BYTES}: no safetensors file`,
      );
    }
    if (LENGTH_BYTES + length > fileBytes) {
      throw damaged(this.path, `it is truncated: found ${fileBytes} bytes, expected at least ${LENGTH_BYTES + length} for its header`);
    }
    const json = new Uint8Array(length);
    this.#fill(json, LENGTH_BYTES);
    return json;
  }

  #entry(name: string): SafetensorsEntry {
    const entry = this.tensors.get(name);
    if (!entry) {
      const some = [...this.tensors.keys()].slice(0, 4).map((other) => `"${other}"`).join(", ");
      throw new MaspError(`"${this.path}" holds no tensor "${name}"; found ${this.tensors.size} others (${some || "none"})`);
    }
    return entry;
  }

  #fill(bytes: Uint8Array, position: number): void {
    this.#file.seekSync(position, Deno.SeekMode.Start);
    for (let done = 0; done < bytes.length;) {
      const read = this.#file.readSync(bytes.subarray(done));
      if (read === null) {
        throw damaged(this.path, `it was cut while it was read: found ${position + done} bytes, expected ${position + bytes.length}`);
      }
      done += read;
    }
  }
}

/**
 * Opens a safetensors file and checks its header; no tensor is read. Dispose of the result to close the file.
 *
 * @param path Where the file is.
 * @throws {MaspError} When the file is missing, truncated, or its header is wrong; names the file, what was found and what was expected.
 */
export function openSafetensors(path: string): SafetensorsFile {
  const file = openFile(path);
  try {
    return new SafetensorsFile(path, file);
  } catch (cause) {
    file.close();
    if (cause instanceof MaspError) throw cause;
    throw damaged(path, `it cannot be read (${(cause as Error).message})`, cause);
  }
}

/** Options of {@linkcode writeSafetensors}. */
export interface WriteSafetensorsOptions {
  /** Texts for the header's `__metadata__`. */
  metadata?: Record<string, string>;
}

/**
 * Writes a safetensors file, whole or not at all. Widest elements come first, so that every tensor is aligned to its element size.
 *
 * @param path Where the file shall be; missing folders are made.
 * @param tensors By name.
 * @param options See {@linkcode WriteSafetensorsOptions}.
 * @throws {MaspError} When the data of a tensor does not fit its type and shape, or the file cannot be written.
 */
export async function writeSafetensors(
  path: string,
  tensors: Record<string, TensorData>,
  options: WriteSafetensorsOptions = {},
): Promise<void> {
  const names = Object.keys(tensors).sort((a, b) => DTYPE_BYTES[tensors[b].dtype] - DTYPE_BYTES[tensors[a].dtype] || (a < b ? -1 : 1));
  const header: Record<string, unknown> = options.metadata ? { __metadata__: options.metadata } : {};
  let offset = 0;
  for (const name of names) {
    const { dtype, shape, data } = tensors[name];
    const expected = elementCount(shape) * DTYPE_BYTES[dtype];
    if (data.byteLength !== expected || name === "__metadata__") {
      const what = `tensor "${name}" has ${data.byteLength} bytes, expected ${expected} for ${dtype} ${showShape(shape)}`;
      throw new MaspError(`Cannot write "${path}": ${name === "__metadata__" ? `"${name}" cannot name a tensor` : what}`);
    }
    header[name] = { dtype, shape, data_offsets: [offset, offset + expected] };
    offset += expected;
  }
  const json = JSON.stringify(header);
  const bytes = new TextEncoder().encode(json);
  const padded = new Uint8Array(LENGTH_BYTES + Math.ceil(bytes.length / 8) * 8).fill(0x20);
  new DataView(padded.buffer).setBigUint64(0, BigInt(padded.length - LENGTH_BYTES), true);
  padded.set(bytes, LENGTH_BYTES);
  await writeAtomically(path, async (file) => {
    await writeAll(file, padded);
    for (const name of names) await writeAll(file, bytesOf(tensors[name].data));
  });
}
