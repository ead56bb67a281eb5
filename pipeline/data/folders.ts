import { basename, extname, join } from "@std/path";

const PICTURE_EXTENSIONS = new Set([".jpg", ".jpeg", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff", ".avif"]);

/** What a folder holds, hidden entries left out, both lists sorted by name (by UTF-16 code units). */
export interface FolderContent {
  /** Names of the folders in it. */
  folders: string[];
  /** Names of the files in it. */
  files: string[];
}

/** Lists a folder, links followed; `undefined` when there is no such folder. */
export async function listFolder(path: string): Promise<FolderContent | undefined> {
  const content: FolderContent = { folders: [], files: [] };
  try {
    for await (const entry of Deno.readDir(path)) {
      if (entry.name.startsWith(".")) continue;
      const isFolder = entry.isSymlink ? await isFolderLink(join(path, entry.name)) : entry.isDirectory;
      (isFolder ? content.folders : content.files).push(entry.name);
    }
  } catch (error) {
    if (error instanceof Deno.errors.NotFound || error instanceof Deno.errors.NotADirectory) return undefined;
    throw error;
  }
  content.folders.sort();
  content.files.sort();
  return content;
}

/** A link that leads nowhere counts as a file, so that it is reported as missing instead of being passed over. */
async function isFolderLink(path: string): Promise<boolean> {
  try {
    return (await Deno.stat(path)).isDirectory;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return false;
    throw error;
  }
}

/** Whether a file name ends like a picture's. */
export function isPicture(name: string): boolean {
  return PICTURE_EXTENSIONS.has(extname(name).toLowerCase());
}

/** File name without folder and extension. */
export function stem(path: string): string {
  return basename(path, extname(path));
}

/** A text file, or `undefined` when there is none at that path. */
export async function readOptionalText(path: string): Promise<string | undefined> {
  try {
    return await Deno.readTextFile(path);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound || error instanceof Deno.errors.NotADirectory) return undefined;
    throw error;
  }
}
