import { basename, dirname } from "@std/path";
import { MaspError } from "./errors.ts";

/**
 * Reads a JSON file that holds an object, such as the files of a checkpoint folder.
 *
 * @param path Where the file is.
 * @returns The object, its values still to be checked by the caller.
 * @throws {MaspError} When the file is missing, cannot be read, is no JSON or holds something else than an object.
 */
export async function readJson(path: string): Promise<Record<string, unknown>> {
  let text: string;
  try {
    text = await Deno.readTextFile(path);
  } catch (cause) {
    const reason = cause instanceof Deno.errors.NotFound ? "is missing" : `cannot be read (${(cause as Error).message})`;
    throw new MaspError(`Cannot load "${dirname(path)}": ${basename(path)} ${reason}; run deno task check`, { cause });
  }
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (cause) {
    throw new MaspError(`Cannot load "${path}": it is no JSON (${(cause as Error).message}); download or copy the file again`, { cause });
  }
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    throw new MaspError(`Cannot load "${path}": it holds ${describe(value)}, expected a JSON object; download or copy the file again`);
  }
  return value as Record<string, unknown>;
}

/** Like {@linkcode readJson}, but `undefined` when the file does not exist. */
export async function readOptionalJson(path: string): Promise<Record<string, unknown> | undefined> {
  try {
    return await readJson(path);
  } catch (error) {
    if (error instanceof MaspError && error.cause instanceof Deno.errors.NotFound) return undefined;
    throw error;
  }
}

function describe(value: unknown): string {
  if (Array.isArray(value)) return "a list";
  return value === null ? "null" : `a ${typeof value}`;
}
