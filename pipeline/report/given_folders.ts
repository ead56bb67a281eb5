/** Folders of runs as somebody gave them: each run once. */
import { dirname, resolve } from "@std/path";
import { isSetAside } from "./run_folder.ts";

/** Result of {@linkcode distinctFolders}. */
export interface DistinctFolders {
  /** The folders that are left, as they were given. */
  dirs: string[];
  /** What was left out, a sentence each. */
  notices: string[];
}

/**
 * Leaves out folders that were given before, under this path or another, and folders within a run that is given as a whole: what they hold
 * would count twice.
 */
export async function distinctFolders(given: readonly string[]): Promise<DistinctFolders> {
  const paths = await Promise.all(given.map(realPath));
  const notices: string[] = [];
  const dirs = given.filter((dir, i) => {
    const first = paths.indexOf(paths[i]);
    if (first < i) {
      notices.push(`"${dir}" is ${dir === given[first] ? "given twice" : `the same folder as "${given[first]}"`}; it is taken once.`);
      return false;
    }
    const parent = isSetAside(paths[i]) ? -1 : paths.indexOf(dirname(paths[i]));
    if (parent >= 0) notices.push(`"${dir}" is a part of the run "${given[parent]}", which is given, too; it is taken once.`);
    return parent < 0;
  });
  return { dirs, notices };
}

/** The path without links; one that is not there stays, and is named where it is read. */
function realPath(dir: string): Promise<string> {
  return Deno.realPath(dir).catch(() => resolve(dir));
}
