/** Files that are either whole or absent: written beside their place, flushed to the disk, then renamed. */
import { ensureDir } from "@std/fs";
import { basename, dirname, join } from "@std/path";
import { MaspError } from "../errors.ts";

/**
 * Writes a file so that at any moment `path` holds either its former content or the whole new one, even when the process is killed.
 * Missing parent folders are made.
 *
 * @param path Where the file shall be.
 * @param content Its bytes, or text to be written as UTF-8.
 * @throws {MaspError} When the file cannot be written; the former one stays as it was.
 */
export async function writeFileAtomic(path: string, content: Uint8Array | string): Promise<void> {
  const bytes = typeof content === "string" ? new TextEncoder().encode(content) : content;
  await writeAtomically(path, (file) => writeAll(file, bytes));
}

/**
 * Like {@linkcode writeFileAtomic}, for content that is made piece by piece.
 *
 * @param path Where the file shall be.
 * @param write Writes the content into the open file; when it throws, `path` stays as it was.
 * @throws {MaspError} When the file cannot be written; the former one stays as it was.
 */
export async function writeAtomically(path: string, write: (file: Deno.FsFile) => Promise<void>): Promise<void> {
  const temporary = join(dirname(path), `.${basename(path)}.tmp-${crypto.randomUUID().slice(0, 8)}`);
  try {
    await ensureDir(dirname(path));
    {
      using file = await Deno.open(temporary, { write: true, createNew: true });
      await write(file);
      await file.sync();
    }
    await Deno.rename(temporary, path);
    await syncFolder(dirname(path));
  } catch (cause) {
    await Deno.remove(temporary).catch(() => {});
    if (cause instanceof MaspError) throw cause;
    throw cannotWrite(path, cause);
  }
}

/** The error of a file that cannot be written, with what to look at. */
export function cannotWrite(path: string, cause: unknown): MaspError {
  const reason = cause instanceof Error ? cause.message : String(cause);
  return new MaspError(`Cannot write "${path}": ${reason}; check the folder, its permissions and the free space`, { cause });
}

/**
 * Removes what writers that were killed have left beside their files.
 *
 * @param dir A folder.
 * @param prefix Beginning of the names of the files; nobody may be writing one of them.
 */
export async function removeTemporaryFiles(dir: string, prefix: string): Promise<void> {
  for await (const entry of Deno.readDir(dir)) {
    const leftover = entry.isFile && entry.name.startsWith(`.${prefix}`) && /\.tmp-[0-9a-f]{8}$/.test(entry.name);
    if (leftover) await Deno.remove(join(dir, entry.name)).catch(() => {});
  }
}

/** Writes all bytes at the file's position; a single `write` may stop early. */
export async function writeAll(file: Deno.FsFile, bytes: Uint8Array): Promise<void> {
  for (let done = 0; done < bytes.length;) done += await file.write(bytes.subarray(done));
}

/** Makes the renaming itself last through a loss of power; systems that cannot open a folder (Windows) do without. */
async function syncFolder(dir: string): Promise<void> {
  try {
    using folder = await Deno.open(dir, { read: true });
    await folder.sync();
  } catch {
    // The file's content is already on the disk.
  }
}
