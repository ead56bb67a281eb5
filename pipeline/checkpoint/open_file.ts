/** Opening a checkpoint's file. */
import { MaspError } from "../errors.ts";

/**
 * Opens a file for reading.
 *
 * @throws {MaspError} when it is missing or may not be read
 */
export function openFile(path: string): Deno.FsFile {
  try {
    return Deno.openSync(path, { read: true });
  } catch (cause) {
    const reason = cause instanceof Deno.errors.NotFound
      ? "the file is missing"
      : `the file cannot be opened (${(cause as Error).message})`;
    throw new MaspError(`Cannot load "${path}": ${reason}; check the path`, { cause });
  }
}
