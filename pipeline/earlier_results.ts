/** Results that are there when a run begins in their place: they are moved aside under a number, and never overwritten. */
import { exists } from "@std/fs";
import { basename, dirname, extname, join, normalize } from "@std/path";
import { savedSteps } from "./checkpoint/run_state.ts";
import { listFolder, readOptionalText } from "./data/folders.ts";

/** Beginning of the names that earlier results get: `previous-1` is the oldest. */
const PREVIOUS = "previous-";

/** Files of a training beside its checkpoints and what it trained. */
const RECORDS = ["metrics.jsonl", "settings.yaml", "run.json"];

/** A training that was set aside. */
export interface EarlierTraining {
  /** Its folder now. */
  dir: string;
  /** Its steps up to its newest checkpoint; 0 without one. */
  step: number;
}

/**
 * Moves files and folders into a new folder `previous-N` beside them, N being one more than the highest there.
 *
 * @param dir where they are
 * @param names those of them that are there are moved, in this order
 * @returns the new folder; nothing when none of them is there
 */
export async function setAside(dir: string, names: readonly string[]): Promise<string | undefined> {
  const there: string[] = [];
  for (const name of names) if (await exists(join(dir, name))) there.push(name);
  if (there.length === 0) return undefined;
  const { folders = [] } = await listFolder(dir) ?? {};
  const aside = join(dir, `${PREVIOUS}${nextNumber(folders.map((name) => numberIn(name, { before: PREVIOUS })))}`);
  await Deno.mkdir(aside);
  for (const name of there) await Deno.rename(join(dir, name), join(aside, name));
  return aside;
}

/**
 * Renames a file to `NAME.previous-N.EXTENSION`, N being one more than the highest there.
 *
 * @returns its path now; nothing when there is no such file
 */
export async function setAsideFile(path: string): Promise<string | undefined> {
  if (!await exists(path, { isFile: true })) return undefined;
  const extension = extname(path);
  const before = `${basename(path, extension)}.${PREVIOUS}`;
  const { files = [] } = await listFolder(dirname(path)) ?? {};
  const number = nextNumber(files.map((name) => numberIn(name, { before, behind: extension })));
  const aside = join(dirname(path), `${before}${number}${extension}`);
  await Deno.rename(path, aside);
  return aside;
}

/**
 * Makes room for a training that begins anew: the one that is there moves aside, whole, from where `--resume` can go on with it. A training that
 * left neither a checkpoint nor a line of metrics nor what it trained has nothing to lose, and stays to be overwritten.
 *
 * @param outputDir the training's folder
 * @param outputPath the file of what it trains; where that is in another folder, it is renamed there
 * @returns the training that was set aside, and the new name of its file in another folder
 */
export async function setAsideTraining(
  outputDir: string,
  outputPath: string,
): Promise<{ training?: EarlierTraining; file?: string }> {
  const within = normalize(join(dirname(outputPath), ".")) === normalize(join(outputDir, "."));
  const trained = within ? [basename(outputPath)] : [];
  const [step = 0] = await savedSteps(join(outputDir, "checkpoints"));
  const kept = step > 0 || await readOptionalText(join(outputDir, "metrics.jsonl")) ||
    (within && await exists(outputPath, { isFile: true }));
  const dir = kept ? await setAside(outputDir, [...RECORDS, ...trained, "checkpoints"]) : undefined;
  return { training: dir === undefined ? undefined : { dir, step }, file: within ? undefined : await setAsideFile(outputPath) };
}

function numberIn(name: string, { before, behind = "" }: { before: string; behind?: string }): number {
  if (!name.startsWith(before) || !name.endsWith(behind)) return 0;
  const digits = name.slice(before.length, name.length - behind.length);
  return /^\d+$/.test(digits) ? Number(digits) : 0;
}

function nextNumber(numbers: readonly number[]): number {
  return 1 + Math.max(0, ...numbers);
}
