/** One run at a time in a folder. */
import { ensureDir } from "@std/fs";
import { dirname, join, resolve } from "@std/path";
import { MaspError } from "./errors.ts";

/**
 * Keeps other processes that ask for the same from a folder, until it is disposed of or this process ends, however it ends. On file systems that
 * know no locks, every process gets it.
 *
 * @param dir folder, made when missing
 * @param what the runs that exclude each other, such as `training`; the file `.WHAT.lock` is there meanwhile
 * @throws {MaspError} when another process has it, or the folder cannot be written into
 */
export async function lockFolder(dir: string, what: string): Promise<Disposable> {
  const path = join(dir, `.${what}.lock`);
  for (;;) {
    const file = await openLock(dir, path);
    if (!await tryLock(file)) {
      file.close();
      throw new MaspError(
        `Another ${what} is writing into "${dir}". Wait for its end, or stop it; or give this one a folder of its own with --output-dir.`,
      );
    }
    if (await isAt(file, path)) return held(file, path);
    file.close(); // the one that had it has removed the file meanwhile
  }
}

async function openLock(dir: string, path: string): Promise<Deno.FsFile> {
  try {
    await ensureDir(dir);
    return await Deno.open(path, { write: true, create: true });
  } catch (cause) {
    throw cannotWriteInto(dir, cause);
  }
}

function cannotWriteInto(dir: string, cause: unknown): MaspError {
  const reason = `Cannot write into "${dir}": ${(cause as Error).message}`;
  return new MaspError(`${reason}; check the path and its permissions, or give another with --output-dir`, { cause });
}

/**
 * Checks that files can be written into a folder, or, where it is missing, into the one it will be made in; nothing is left there. For finding out
 * before a large model is loaded.
 *
 * @throws {MaspError} when they cannot
 */
export async function expectWritable(dir: string): Promise<void> {
  let there = resolve(dir);
  try {
    while (!await isThere(there)) there = dirname(there);
    await Deno.remove(await Deno.makeTempFile({ dir: there, prefix: ".masp-" }));
  } catch (cause) {
    throw cannotWriteInto(dir, cause);
  }
}

async function isThere(path: string): Promise<boolean> {
  try {
    await Deno.stat(path);
    return true;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return false;
    throw error;
  }
}

async function tryLock(file: Deno.FsFile): Promise<boolean> {
  try {
    return await file.tryLock(true);
  } catch {
    return true; // no locks here
  }
}

/** Whether a file is still the one at a path; systems that have no such numbers (Windows) do not remove files that are open. */
async function isAt(file: Deno.FsFile, path: string): Promise<boolean> {
  const [mine, there] = await Promise.all([file.stat(), Deno.stat(path).catch(() => undefined)]);
  return mine.ino === null || mine.ino === there?.ino;
}

function held(file: Deno.FsFile, path: string): Disposable {
  return {
    [Symbol.dispose]: () => {
      try {
        Deno.removeSync(path); // before it is let go, so that nobody else's is removed
      } catch {
        // Windows: the file stays.
      }
      file.close();
    },
  };
}
