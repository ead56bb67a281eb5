/** `run.json` of a run folder: with what a run was made, so that it can be made again. */
import { writeFileAtomic } from "../checkpoint/atomic_write.ts";
import { readOptionalText } from "../data/folders.ts";
import project from "../../deno.json" with { type: "json" };

/** What the caller knows of a run. */
export interface RunFacts {
  /** What ran: `stage1`, `stage2`, `eval`. */
  task: string;
  /** Name of the GPU's adapter. */
  adapter: string;
  /** Seed of everything drawn at random. */
  seed: number;
  /** Folder or name of the base model. */
  model: string;
  /** Anything else that JSON can hold. */
  [name: string]: unknown;
}

/** What the file holds. */
export interface RunInfo extends RunFacts {
  /** When the file was written, in UTC (ISO 8601). */
  written: string;
  /** Versions of this program, Deno, V8 and the packages that were asked for. */
  versions: Record<string, string>;
  /** Operating system and processor. */
  system: string;
}

/**
 * Writes the file.
 *
 * @param path usually `run.json` in the run's folder
 * @throws {MaspError} when it cannot be written
 */
export async function writeRunInfo(path: string, facts: RunFacts): Promise<RunInfo> {
  const packages = Object.values(project.imports).flatMap((target) => {
    const [, name, version] = target.match(/^npm:((?:@[^/]+\/)?[^@/]+)@([^/]+)/) ?? [];
    return name ? [[name, version]] : [];
  });
  const info: RunInfo = {
    ...facts,
    written: new Date().toISOString(),
    versions: { masp: project.version, deno: Deno.version.deno, v8: Deno.version.v8, ...Object.fromEntries(packages) },
    system: `${Deno.build.os} ${Deno.build.arch}`,
  };
  await writeFileAtomic(path, `${JSON.stringify(info, null, 2)}\n`);
  return info;
}

/** Reads the file. @returns `undefined` when there is none, or it is damaged */
export async function readRunInfo(path: string): Promise<RunInfo | undefined> {
  try {
    const value = JSON.parse(await readOptionalText(path) ?? "null");
    return typeof value === "object" && value !== null ? value as RunInfo : undefined;
  } catch {
    return undefined;
  }
}
