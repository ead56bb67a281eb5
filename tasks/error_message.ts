/** What a user is told of an error. */
import { GpuError } from "../kernels/gpu.ts";
import { MaspError } from "../pipeline/errors.ts";

/** What to do about a fault of the file system, by the system's name for it. */
const ADVICE: Readonly<Record<string, string>> = {
  ENOENT: "Check the path.",
  EACCES: "Check that you may read and write there, or choose another folder (--output-dir).",
  EPERM: "Check that you may read and write there, or choose another folder (--output-dir).",
  ENOTDIR: "A part of the path is a file, not a folder: choose another path.",
  EISDIR: "That is a folder, where a file was expected: name a file, or choose another path.",
  EEXIST: "Something of that name is there already: choose another name, or remove it.",
  ENOTEMPTY: "The folder is not empty: choose another one.",
  ELOOP: "Links lead in a circle there: choose another path.",
  ENOSPC: "The disk is full: make room, or choose a folder on another disk (--output-dir). After a stop, --resume goes on.",
  EDQUOT:
    "Your share of the disk is used up: make room, or choose a folder on another disk (--output-dir). After a stop, --resume goes on.",
  EROFS: "That disk can only be read: choose another folder (--output-dir).",
  ENAMETOOLONG: "The path is too long: choose a shorter one.",
  EMFILE: "Too many files are open: allow more (ulimit -n 4096) and try again.",
  EIO: "The disk reports a fault: choose a folder on another one.",
  EBUSY: "Another program uses it: close that, or choose another path.",
  ETXTBSY: "Another program uses it: close that, or choose another path.",
};

/** Deno's classes for the same faults. */
const CLASSES: readonly (readonly [new (message?: string) => Error, code: string])[] = [
  [Deno.errors.NotFound, "ENOENT"],
  [Deno.errors.PermissionDenied, "EACCES"],
  [Deno.errors.NotCapable, "EACCES"],
  [Deno.errors.NotADirectory, "ENOTDIR"],
  [Deno.errors.IsADirectory, "EISDIR"],
  [Deno.errors.AlreadyExists, "EEXIST"],
  [Deno.errors.FilesystemLoop, "ELOOP"],
  [Deno.errors.Busy, "EBUSY"],
];

/**
 * The message of an error that a user can mend, with what to do about it.
 *
 * @returns nothing for faults of the program, whose stack trace is wanted
 *
 * @example
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { messageOf } from "./error_message.ts";
 *
 * assertEquals(messageOf(new Deno.errors.NotFound("no a.txt")), "no a.txt\nCheck the path.");
 * assertEquals(messageOf(new TypeError("x is undefined")), undefined);
 * ```
 */
export function messageOf(error: unknown): string | undefined {
  if (error instanceof MaspError || error instanceof GpuError) return error.message;
  if (error instanceof SuppressedError) { // the first error, and another one while what was open was closed
    const messages = [messageOf(error.suppressed), messageOf(error.error)];
    return messages.every((message) => message !== undefined) ? [...new Set(messages)].join("\n") : undefined;
  }
  if (!(error instanceof Error)) return undefined;
  const { code } = error as { code?: unknown };
  const known = CLASSES.find(([type]) => error instanceof type)?.[1] ?? (typeof code === "string" ? code : "");
  return Object.hasOwn(ADVICE, known) ? `${error.message}\n${ADVICE[known]}` : undefined;
}

/** Whether an error says that Ctrl-C ended the work. */
export function isInterruption(error: unknown): boolean {
  return error instanceof DOMException && error.name === "AbortError";
}
