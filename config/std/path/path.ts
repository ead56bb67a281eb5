import * as path from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";

/** The platform's path separator. */
export const SEPARATOR: string = path.sep;

/** Last part of a path; `suffix` is removed when it ends with it. */
export function basename(p: string, suffix = ""): string {
  return path.basename(p, suffix);
}
/** A path without its last part. */
export function dirname(p: string): string {
  return path.dirname(p);
}
/** The extension with its dot, or an empty string. */
export function extname(p: string): string {
  return path.extname(p);
}
/** Whether a path starts at the root. */
export function isAbsolute(p: string): boolean {
  return path.isAbsolute(p);
}
/** Parts joined and normalised. */
export function join(first: string, ...rest: string[]): string {
  return path.join(first, ...rest);
}
/** `.` and `..` resolved where possible. */
export function normalize(p: string): string {
  return path.normalize(p);
}
/** The way from one folder to another. */
export function relative(from: string, to: string): string {
  return path.relative(from, to);
}
/** An absolute path, from the working folder where needed. */
export function resolve(...parts: string[]): string {
  return path.resolve(...parts);
}
/** `file:` URL → path. */
export function fromFileUrl(url: string | URL): string {
  return fileURLToPath(url);
}
/** Path → `file:` URL. */
export function toFileUrl(p: string): URL {
  return pathToFileURL(p);
}
