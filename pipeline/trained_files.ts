/** Trained files that a run needs, looked for before anything large is loaded. */
import { exists } from "@std/fs";
import { MaspError } from "./errors.ts";

/** Paths of trained files. */
export interface TrainedFiles {
  /** Aspect modules, from stage 1. */
  aspectPath: string;
  /** Soft prompt, from stage 2. */
  softPromptPath?: string;
}

/**
 * Looks whether trained files are there.
 *
 * @param options a run of the base model needs none of them, a plain one no aspect modules
 * @throws {MaspError} for the first that is missing: how it is made, and which setting names another
 */
export async function requireTrained(files: TrainedFiles, options: { baseline?: boolean; plain?: boolean } = {}): Promise<void> {
  const { baseline, plain } = options;
  const wanted = [
    { path: baseline || plain ? undefined : files.aspectPath, what: "aspect modules", task: "stage1", flag: "--ckpt-path" },
    { path: baseline ? undefined : files.softPromptPath, what: "soft prompt", task: "stage2", flag: "--soft-prompt-path" },
  ];
  for (const { path, what, task, flag } of wanted) {
    if (path === undefined || await exists(path, { isFile: true })) continue;
    throw new MaspError(
      `Cannot load ${what} "${path}": there is no such file; train first (deno task ${task}), or name a file with ${flag}`,
    );
  }
}
