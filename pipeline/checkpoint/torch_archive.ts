/** The zip file that `torch.save` writes: entries listed once, read in part. */
import { crc32 } from "node:zlib";
import type { FileEntry } from "@zip.js/zip.js";
import { MaspError } from "../errors.ts";
import { openFile } from "./open_file.ts";

/** An open `torch.save` file; {@linkcode openTorchArchive} makes one. */
export class TorchArchive implements Disposable {
  /** Where the file is. */
  readonly path: string;
  #file: Deno.FsFile;
  #entries: Map<string, FileEntry>;

  /** Takes over an open file. @param entries By name below the archive's folder: `data.pkl`, `data/0`, … */
  constructor(path: string, file: Deno.FsFile, entries: Map<string, FileEntry>) {
    this.path = path;
    this.#file = file;
    this.#entries = entries;
  }

  /** Whether there is such an entry. */
  has(name: string): boolean {
    return this.#entries.has(name);
  }

  /** Size of an entry in bytes. @throws {MaspError} When there is none. */
  size(name: string): number {
    return this.#entry(name).uncompressedSize;
  }

  /**
   * Bytes of an entry. The checksum is compared when the whole entry is read.
   *
   * @param name The entry.
   * @param range First byte and the byte after the last one; default: all.
   * @throws {MaspError} When there is no such entry, or it is damaged.
   */
  read(name: string, range?: { begin: number; end: number }): Uint8Array {
    const entry = this.#entry(name);
    const { begin, end } = range ?? { begin: 0, end: entry.uncompressedSize };
    const bytes = this.#bytes(this.#dataOffset(entry) + begin, end - begin);
    if (bytes.length === entry.uncompressedSize && entry.crc32 !== undefined && crc32(bytes) !== entry.crc32 >>> 0) {
      throw damaged(this.path, `the checksum of ${name} is ${hex(crc32(bytes))}, expected ${hex(entry.crc32)}`);
    }
    return bytes;
  }

  /** Closes the file. */
  [Symbol.dispose](): void {
    this.#file.close();
  }

  #entry(name: string): FileEntry {
    const entry = this.#entries.get(name);
    if (!entry) throw damaged(this.path, `its entry ${name} is missing`);
    if (entry.encrypted || entry.compressedSize !== entry.uncompressedSize || entry.compressionMethod !== 0) {
      throw damaged(this.path, `its entry ${name} is compressed or encrypted, expected a stored one as torch.save writes it`);
    }
    return entry;
  }

  /** A stored entry's bytes follow its local header, whose name and extra field may be longer than the directory's. */
  #dataOffset(entry: FileEntry): number {
    const header = new DataView(this.#bytes(entry.offset, 30).buffer);
    if (header.getUint32(0, true) !== LOCAL_HEADER) {
      throw damaged(this.path, `its entry ${entry.filename} has no header at byte ${entry.offset}`);
    }
    return entry.offset + 30 + header.getUint16(26, true) + header.getUint16(28, true);
  }

  #bytes(position: number, length: number): Uint8Array<ArrayBuffer> {
    return readAt(this.#file, { path: this.path, position, length });
  }
}

const LOCAL_HEADER = 0x04034b50;

/**
 * Opens a `torch.save` file and lists what it holds.
 *
 * @param path Where the file is.
 * @throws {MaspError} When the file is missing, is no zip file, is in PyTorch's form before 1.6, or is truncated.
 */
export async function openTorchArchive(path: string): Promise<TorchArchive> {
  const file = openFile(path);
  try {
    checkBeginning(path, file);
    return new TorchArchive(path, file, await listEntries(path, file));
  } catch (error) {
    file.close();
    throw error;
  }
}

function checkBeginning(path: string, file: Deno.FsFile): void {
  const size = file.statSync().size;
  const first = readAt(file, { path, position: 0, length: Math.min(4, size) });
  if (size >= 4 && new DataView(first.buffer).getUint32(0, true) === LOCAL_HEADER) return;
  const found = [...first].map((byte) => byte.toString(16).padStart(2, "0")).join(" ") || "nothing";
  if (first[0] === 0x80) {
    throw new MaspError(
      `Cannot load "${path}": it is a bare pickle (${found}), the form of torch.save before PyTorch 1.6, expected a zip file; ` +
        `load it in a newer PyTorch and save it again`,
    );
  }
  throw new MaspError(
    `Cannot load "${path}": it is no zip file (it begins with ${found}), expected a file of torch.save; check the path, or copy the file again`,
  );
}

async function listEntries(path: string, file: Deno.FsFile): Promise<Map<string, FileEntry>> {
  const zip = await import("@zip.js/zip.js");
  const size = file.statSync().size;
  class FileReader extends zip.Reader<Deno.FsFile> {
    override size = size;
    override readUint8Array(index: number, length: number): Promise<Uint8Array> {
      return Promise.resolve(readAt(file, { path, position: index, length: Math.min(length, size - index) }));
    }
  }
  const entries = new Map<string, FileEntry>();
  try {
    const reader = new zip.ZipReader(new FileReader(file), { useWebWorkers: false });
    for (const entry of await reader.getEntries()) {
      if (!entry.directory) entries.set(entry.filename.slice(entry.filename.indexOf("/") + 1), entry);
    }
    await reader.close();
  } catch (cause) {
    if (cause instanceof MaspError) throw cause;
    throw damaged(
      path,
      `it is truncated or damaged: ${size} bytes found, but no zip directory at their end (${(cause as Error).message})`,
      cause,
    );
  }
  if (!entries.has("data.pkl")) {
    const some = [...entries.keys()].slice(0, 4).join(", ");
    throw damaged(path, `it is a zip file without data.pkl (it holds ${some || "nothing"}), expected a file of torch.save`);
  }
  return entries;
}

function readAt(file: Deno.FsFile, where: { path: string; position: number; length: number }): Uint8Array<ArrayBuffer> {
  const { path, position, length } = where;
  const bytes = new Uint8Array(length);
  file.seekSync(position, Deno.SeekMode.Start);
  for (let done = 0; done < length;) {
    const read = file.readSync(bytes.subarray(done));
    if (read === null) throw damaged(path, `it is truncated: found ${position + done} bytes, expected at least ${position + length}`);
    done += read;
  }
  return bytes;
}

function damaged(path: string, what: string, cause?: unknown): MaspError {
  return new MaspError(`Cannot load "${path}": ${what}; copy the file again`, { cause });
}

function hex(value: number): string {
  return (value >>> 0).toString(16).padStart(8, "0");
}
