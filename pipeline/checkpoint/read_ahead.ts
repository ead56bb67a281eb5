/** Parts of files in order, read ahead: while a piece is put to use, the next ones are on their way. */
import { damaged } from "./safetensors_header.ts";
import { openFile } from "./open_file.ts";

/** Some bytes of a file. */
export interface FilePart {
  /** Where the file is. */
  readonly path: string;
  /** Its first byte, and one after the last. */
  readonly begin: number;
  readonly end: number;
}

/** Options of {@linkcode readAhead}. */
export interface ReadAheadOptions {
  /** Largest piece in bytes; 8 MiB when left out. */
  pieceBytes?: number;
  /** Pieces that are read at the same time, each into memory of its own; 3 when left out. One reader alone is slower than the memory. */
  ahead?: number;
}

/**
 * The parts' bytes in order; no piece spans two parts.
 *
 * @returns pieces, each valid until the next one is asked for
 * @throws {MaspError} when a file is missing, or ends within a part
 */
export async function* readAhead(parts: Iterable<FilePart>, options: ReadAheadOptions = {}): AsyncGenerator<Uint8Array, void, void> {
  const { pieceBytes = 8 << 20, ahead = 3 } = options;
  using readers = new DisposableStack();
  const free = Array.from({ length: ahead + 1 }, () => readers.use(new Reader(pieceBytes)));
  const pending: { reader: Reader; piece: Promise<Uint8Array> }[] = [];
  const pieces = cut(parts, pieceBytes);
  const fill = () => {
    while (free.length) {
      const { value, done } = pieces.next();
      if (done) return;
      const reader = free.shift()!;
      const piece = reader.read(value);
      piece.catch(() => {}); // its turn to be told comes when it is asked for
      pending.push({ reader, piece });
    }
  };
  try {
    for (fill(); pending.length; fill()) {
      const { reader, piece } = pending.shift()!;
      yield await piece;
      free.push(reader);
    }
  } finally {
    await Promise.allSettled(pending.map(({ piece }) => piece)); // files are closed only when nothing reads them
  }
}

function* cut(parts: Iterable<FilePart>, pieceBytes: number): Generator<FilePart, undefined, void> {
  for (const { path, begin, end } of parts) {
    for (let at = begin; at < end; at += pieceBytes) yield { path, begin: at, end: Math.min(end, at + pieceBytes) };
  }
}

/** A file handle and a buffer. */
class Reader implements Disposable {
  readonly #buffer: Uint8Array<ArrayBuffer>;
  #path = "";
  #file?: Deno.FsFile;

  constructor(bytes: number) {
    this.#buffer = new Uint8Array(bytes);
  }

  async read({ path, begin, end }: FilePart): Promise<Uint8Array> {
    if (path !== this.#path || !this.#file) {
      this[Symbol.dispose]();
      this.#file = openFile(path);
      this.#path = path;
    }
    const bytes = this.#buffer.subarray(0, end - begin);
    await this.#file.seek(begin, Deno.SeekMode.Start);
    for (let done = 0; done < bytes.length;) {
      const count = await this.#file.read(bytes.subarray(done));
      if (count === null) {
        throw damaged(path, `it was cut while it was read: found ${begin + done} bytes, expected ${end}`);
      }
      done += count;
    }
    return bytes;
  }

  [Symbol.dispose](): void {
    this.#file?.close();
    this.#file = undefined;
  }
}
