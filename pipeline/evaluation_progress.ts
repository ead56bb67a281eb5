/** The predictions of an evaluation that is going on, on the disk, so that one that was interrupted can go on. */
import { basename, dirname } from "@std/path";
import { cannotWrite, writeFileAtomic } from "./checkpoint/atomic_write.ts";
import { readOptionalText } from "./data/folders.ts";
import { setAside } from "./earlier_results.ts";
import type { ReportedPrediction as Prediction } from "./report/evaluation_report.ts";
import { type Identity, requireSame } from "./train/identity.ts";

/** A file of one JSON object per line: what the evaluation is, then its predictions as they come. */
export class EvaluationProgress implements Disposable {
  /** What an evaluation before this one predicted. */
  readonly earlier: readonly Prediction[];
  readonly #path: string;
  readonly #file: Deno.FsFile;

  private constructor(path: string, parts: { file: Deno.FsFile; earlier: readonly Prediction[] }) {
    this.#path = path;
    this.#file = parts.file;
    this.earlier = parts.earlier;
  }

  /**
   * Opens the file of an evaluation.
   *
   * @param path where it is; its folder is made when missing
   * @param options what the evaluation is, whether to go on with what the file holds (otherwise that is set aside), who is told where it is then, and
   * in passes of how many pictures: those of a pass that was not finished are forgotten, so that the passes stay the same
   * @throws {MaspError} when it is the file of another evaluation, or cannot be written
   */
  static async open(
    path: string,
    options: { identity: Identity; resume?: boolean; batch: number; onNotice?: (text: string) => void },
  ): Promise<EvaluationProgress> {
    const { identity, resume, batch } = options;
    const [head, ...lines] = await readLines(path);
    if (resume && head) requireSame((head as { identity?: Identity }).identity, identity, `the evaluation in "${path}"`);
    if (!resume && lines.length > 0) {
      const aside = await setAside(dirname(path), [basename(path)]);
      options.onNotice?.(
        `The ${lines.length} predictions of an interrupted evaluation are in ${aside} now; --output-dir ${aside} --resume goes on with them.`,
      );
    }
    const whole = resume ? lines.length - lines.length % batch : 0;
    const earlier = lines.slice(0, whole) as Prediction[];
    await writeFileAtomic(path, [{ identity }, ...earlier].map((line) => `${JSON.stringify(line)}\n`).join(""));
    try {
      return new EvaluationProgress(path, { file: await Deno.open(path, { append: true }), earlier });
    } catch (cause) {
      throw cannotWrite(path, cause);
    }
  }

  /** Appends a prediction. @throws {MaspError} when the file cannot be written */
  add(prediction: Prediction): void {
    const bytes = new TextEncoder().encode(`${JSON.stringify(prediction)}\n`);
    try {
      for (let done = 0; done < bytes.length;) done += this.#file.writeSync(bytes.subarray(done));
    } catch (cause) {
      throw cannotWrite(this.#path, cause);
    }
  }

  /** Closes the file, which stays. */
  [Symbol.dispose](): void {
    this.#file.close();
  }
}

/** The lines up to the first that is no JSON: a process that was killed may have left half a line. */
async function readLines(path: string): Promise<unknown[]> {
  const values: unknown[] = [];
  for (const line of (await readOptionalText(path) ?? "").split("\n")) {
    try {
      values.push(JSON.parse(line));
    } catch {
      break;
    }
  }
  return values;
}
