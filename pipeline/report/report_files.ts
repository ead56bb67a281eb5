import { join } from "@std/path";
import { writeFileAtomic } from "../checkpoint/atomic_write.ts";
import { evaluationMarkdown } from "./evaluation_markdown.ts";
import type { EvaluationReport } from "./evaluation_report.ts";

export { evaluationMarkdown } from "./evaluation_markdown.ts";
export type { EvaluationReport, ReportedPrediction } from "./evaluation_report.ts";

/** Options of {@linkcode writeEvaluationReport}. */
export interface WriteEvaluationReportOptions {
  /** Name of the files without extension. Default: `evaluation`. */
  name?: string;
}

/** Where {@linkcode writeEvaluationReport} wrote. */
export interface EvaluationReportPaths {
  /** Every number and every prediction. */
  json: string;
  /** For reading. */
  markdown: string;
}

/**
 * Writes an evaluation as `evaluation.json` and `evaluation.md`, each whole or not at all.
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
  const { name = "evaluation" } = options;
  const paths = { json: join(dir, `${name}.json`), markdown: join(dir, `${name}.md`) };
  await writeFileAtomic(paths.json, `${JSON.stringify(report, null, 2)}\n`);
  await writeFileAtomic(paths.markdown, evaluationMarkdown(report));
  return paths;
}
