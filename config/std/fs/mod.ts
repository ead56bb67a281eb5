/** `@std/fs` over Deno's own file functions: the functions that this project uses, with the original's signatures. */
import { cp } from "node:fs/promises";
import { join } from "node:path";

/** Copies a file, or a folder with all that is in it. */
export async function copy(from: string, to: string): Promise<void> {
  await cp(from, to, { recursive: true });
}

/** Makes a folder and its parents where missing. */
export async function ensureDir(dir: string): Promise<void> {
  await Deno.mkdir(dir, { recursive: true });
}
/** Whether a path exists, optionally as a file or a folder. */
export async function exists(path: string, options: { isFile?: boolean; isDirectory?: boolean } = {}): Promise<boolean> {
  try {
    const stat = await Deno.stat(path);
    return options.isFile ? stat.isFile : options.isDirectory ? stat.isDirectory : true;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound || error instanceof Deno.errors.NotADirectory) return false;
    throw error;
  }
}
/** What `walk` yields. */
export interface WalkEntry extends Deno.DirEntry {
  /** The path, starting with the root that was walked. */
  path: string;
}
/** Every file and folder below `root`, in the order of their names. */
export async function* walk(
  root: string,
  options: { includeFiles?: boolean; includeDirs?: boolean; exts?: string[] } = {},
): AsyncIterableIterator<WalkEntry> {
  const { includeFiles = true, includeDirs = true, exts } = options;
  if (includeDirs && !exts) yield { path: root, name: root, isDirectory: true, isFile: false, isSymlink: false };
  const entries = await Array.fromAsync(Deno.readDir(root));
  for (const entry of entries.sort((a, b) => (a.name < b.name ? -1 : 1))) {
    const path = join(root, entry.name);
    if (entry.isDirectory) yield* walk(path, options);
    else if (includeFiles && (!exts || exts.some((e) => entry.name.endsWith(e)))) yield { ...entry, path };
  }
}
