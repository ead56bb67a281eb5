import { cannotWrite, writeAll, writeFileAtomic } from "../checkpoint/atomic_write.ts";
import { readOptionalText } from "../data/folders.ts";

/** One line of the file: the step, and what was measured there. */
export interface MetricsLine {
  /** Number of the step; lines come in its order. */
  step: number;
  /** Anything that JSON can hold, such as the loss. */
  [name: string]: unknown;
}

/** Options of {@linkcode openMetricsLog}. */
export interface OpenMetricsLogOptions {
  /** Keep what the file holds up to and including this step, and go on behind it. Left out, the file starts empty. */
  keepThrough?: number;
}

/** A file of measurements that grows while a run goes on: one JSON object per line ("JSON Lines"). */
export class MetricsLog implements Disposable {
  /** Where it is. */
  readonly path: string;
  readonly #file: Deno.FsFile;

  /** Goes on with a file that was opened for appending; see {@linkcode openMetricsLog}. */
  constructor(path: string, file: Deno.FsFile) {
    this.path = path;
    this.#file = file;
  }

  /**
   * Appends a line. Numbers that are not finite become `null`.
   *
   * @throws {MaspError} When the file cannot be written.
   */
  async write(line: MetricsLine): Promise<void> {
    try {
      await writeAll(this.#file, new TextEncoder().encode(`${JSON.stringify(line)}\n`));
    } catch (cause) {
      throw cannotWrite(this.path, cause);
    }
  }

  /** Closes the file. */
  [Symbol.dispose](): void {
    this.#file.close();
  }
}

/**
 * Opens a metrics file for appending.
 *
 * @param path Usually `metrics.jsonl` in the run's folder, which is made when missing.
 * @param options See {@linkcode OpenMetricsLogOptions}.
 * @throws {MaspError} When the file cannot be written.
 */
export async function openMetricsLog(path: string, options: OpenMetricsLogOptions = {}): Promise<MetricsLog> {
  const { keepThrough } = options;
  const kept = keepThrough === undefined ? [] : (await readMetrics(path)).filter(({ step }) => step <= keepThrough);
  await writeFileAtomic(path, kept.map((line) => `${JSON.stringify(line)}\n`).join(""));
  try {
    return new MetricsLog(path, await Deno.open(path, { append: true }));
  } catch (cause) {
    throw cannotWrite(path, cause);
  }
}

/**
 * Reads a metrics file. A line that is no measurement is passed over: a run that was killed may have left half a line.
 *
 * @returns The lines in the file's order; none when there is no such file.
 */
export async function readMetrics(path: string): Promise<MetricsLine[]> {
  const text = await readOptionalText(path);
  return (text ?? "").split("\n").flatMap((line) => {
    try {
      const value = JSON.parse(line);
      return typeof value?.step === "number" ? [value as MetricsLine] : [];
    } catch {
      return [];
    }
  });
}
