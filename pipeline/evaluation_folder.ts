/** What an evaluation from settings leaves in its folder. */
import { join } from "@std/path";
import { settingsYaml } from "../config/schema.ts";
import type { EvalSettings } from "../config/schema_settings.ts";
import type { Gpu } from "../kernels/gpu.ts";
import { setAside } from "./earlier_results.ts";
import { readOptionalText } from "./data/folders.ts";
import { evaluationPaths, type EvaluationReport, filePrefix, predictionLines, writeEvaluationReport } from "./report/report_files.ts";
import { recordRun } from "./run_records.ts";

/**
 * Writes the files of an evaluation. Where those of another one are, with other settings or predictions, that one is set aside first.
 *
 * @param settings of the evaluation
 * @param report its result
 * @param options the device, the name of `NAME.json` and `NAME.md`, the file that becomes `pictures.jsonl`, and who is told what was set aside
 * @throws {MaspError} when a file cannot be written
 */
export async function writeEvaluation(
  settings: EvalSettings,
  report: EvaluationReport,
  options: { gpu: Gpu; name: string; pictures?: string; onNotice?: (text: string) => void },
): Promise<void> {
  const { gpu, name, pictures } = options;
  const { outputDir } = settings;
  const prefix = filePrefix(name);
  const named = (file: string) => `${prefix}${file}`;
  const same = await readOptionalText(join(outputDir, named("settings.yaml"))) === settingsYaml(settings) &&
    await readOptionalText(evaluationPaths(outputDir, { name }).predictions) === predictionLines(report);
  if (!same) {
    const others = ["predictions.jsonl", "pictures.jsonl", "settings.yaml", "run.json"].map(named);
    const earlier = await setAside(outputDir, [`${name}.json`, `${name}.md`, ...others]);
    if (earlier) options.onNotice?.(`The evaluation that was in ${outputDir} is in ${earlier} now.`);
  }
  const { method, seconds } = report.facts;
  if (pictures) await Deno.rename(pictures, join(outputDir, named("pictures.jsonl")));
  await recordRun(settings, { gpu, prefix, facts: { method, seconds } });
  await writeEvaluationReport(outputDir, report, { name });
}
