import { join } from "@std/path";
import { writeFileAtomic } from "../checkpoint/atomic_write.ts";
import { evaluationMarkdown } from "./evaluation_markdown.ts";
import type { EvaluationReport } from "./evaluation_report.ts";

export { evaluationMarkdown } from "./evaluation_markdown.ts";
export type { EvaluationReport, ReportedPrediction } from "./evaluation_report.ts";

/** Options of {@linkcode writeEvaluationReport}. */
export interface WriteEvaluationReportOptions {
  /** Name of the first two files without extension. What stands before `evaluation` in it stands before `predictions.jsonl`, too. Default: `evaluation`. */
  name?: string;
}

/** Where {@linkcode writeEvaluationReport} wrote. */
export interface EvaluationReportPaths {
  /** Every number and every prediction. */
  json: string;
  /** For reading. */
  markdown: string;
  /** One prediction per line ("JSON Lines"). */
  predictions: string;
}

/** What stands before the names of an evaluation's other files, such as `baseline-` for `baseline-evaluation`. */
export function filePrefix(name: string): string {
  const prefix = name.replace(/-?evaluation$/, "");
  return prefix === "" ? "" : `${prefix}-`;
}

/** Where the files of an evaluation are. */
export function evaluationPaths(dir: string, { name = "evaluation" }: WriteEvaluationReportOptions = {}): EvaluationReportPaths {
  const predictions = join(dir, `${filePrefix(name)}predictions.jsonl`);
  return { json: join(dir, `${name}.json`), markdown: join(dir, `${name}.md`), predictions };
}

/**
 * Writes an evaluation as `evaluation.json`, `evaluation.md` and `predictions.jsonl`, each whole or not at all.
 *
 * @param dir Folder; made when missing.
 * @param report The evaluation.
 * @param options See {@linkcode WriteEvaluationReportOptions}.
 * @throws {MaspError} When a file cannot be written.
 */
export async function writeEvaluationReport(
  dir: string,
  report: EvaluationReport,
  options: WriteEvaluationReportOptions = {},
): Promise<EvaluationReportPaths> {
  const paths = evaluationPaths(dir, options);
  await writeFileAtomic(paths.json, `${JSON.stringify(report, null, 2)}\n`);
  await writeFileAtomic(paths.markdown, evaluationMarkdown(report));
  await writeFileAtomic(paths.predictions, predictionLines(report));
  return paths;
}

/** Text of `predictions.jsonl`. */
export function predictionLines({ predictions }: EvaluationReport): string {
  return predictions.map((prediction) => `${JSON.stringify(prediction)}\n`).join("");
}
