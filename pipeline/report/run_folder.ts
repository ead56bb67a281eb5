/** Reads what runs left in their folders: all that a report is made of. */
import { parse } from "@std/yaml";
import { basename, join, resolve } from "@std/path";
import { listFolder, readOptionalText } from "../data/folders.ts";
import { MaspError } from "../errors.ts";
import { readEvaluation } from "./evaluation_file.ts";
import type { EvaluationReport } from "./evaluation_report.ts";
import { type MetricsLine, readMetrics } from "./metrics_log.ts";
import { type PictureLine, readPictureLog } from "./picture_log.ts";
import { filePrefix } from "./report_files.ts";
import { readRunInfo, type RunInfo } from "./run_info.ts";

/** What training and evaluation have in common. */
interface Part {
  /** Folder, from the run's folder; empty when it is the same. */
  folder: string;
  /** `run.json` */
  info?: RunInfo;
  /** `settings.yaml` as it stands. */
  settings?: string;
}

/** A training that left `metrics.jsonl`. */
export interface TrainingPart extends Part {
  /** `stage1` or `stage2`, or the folder's name when the settings do not say. */
  stage: string;
  /** Lines of the file; at least one. */
  metrics: MetricsLine[];
}

/** An evaluation that left `evaluation.json`, or the like with a prefix. */
export interface EvaluationPart extends Part {
  /** What was evaluated, such as "MASP" or "base model, zero-shot". */
  method: string;
  /** Whether it is of the base model alone. */
  baseline: boolean;
  /** The file's content. */
  report: EvaluationReport;
  /** `pictures.jsonl` by picture; empty without it. */
  pictures: Map<string, PictureLine>;
}

/** A run: one folder, or a folder with the folders of a run's parts in it. */
export interface RunFolder {
  /** Name in the report: the folder's. */
  name: string;
  /** Path as given. */
  path: string;
  /** In the order stage 1, stage 2, others. */
  trainings: TrainingPart[];
  /** What was trained first, then base models. */
  evaluations: EvaluationPart[];
}

/** Whether a folder is of a run that was set aside when another began in its place: `previous`, `previous-1`, … */
export function isSetAside(path: string): boolean {
  return /^previous(-\d+)?$/.test(basename(path));
}

/**
 * Reads a run.
 *
 * @param dir the folder of a training or an evaluation, or their parent; a run that was set aside (`previous`) is read when its own folder is given
 * @throws {MaspError} when there is no such folder, nothing of a run in it, or a file is damaged
 */
export async function readRunFolder(dir: string): Promise<RunFolder> {
  const content = await listFolder(dir);
  if (!content) throw new MaspError(`Cannot make a report: there is no folder "${dir}". Give the folder of a run, such as outputs/eval.`);
  const run: RunFolder = { name: basename(resolve(dir)), path: dir, trainings: [], evaluations: [] };
  for (const folder of ["", ...content.folders.filter((name) => name !== "checkpoints" && !isSetAside(name))]) await readParts(run, folder);
  if (run.trainings.length + run.evaluations.length === 0) {
    throw new MaspError(
      `Cannot make a report: "${dir}" has no metrics.jsonl and no evaluation.json, nor has a folder in it. ` +
        "Give the folder of a run, such as outputs/eval, or train and evaluate first (deno task stage1, stage2, eval --details).",
    );
  }
  run.trainings.sort((a, b) => (a.stage < b.stage ? -1 : a.stage > b.stage ? 1 : 0));
  run.evaluations.sort((a, b) => rank(a) - rank(b));
  return run;
}

async function readParts(run: RunFolder, folder: string): Promise<void> {
  const at = (name: string) => join(run.path, folder, name);
  const files = (await listFolder(join(run.path, folder)))?.files ?? [];
  const shared = async (prefix: string) => ({
    folder,
    info: await readRunInfo(at(`${prefix}run.json`)),
    settings: await readOptionalText(at(`${prefix}settings.yaml`)),
  });
  const metrics = files.includes("metrics.jsonl") ? await readMetrics(at("metrics.jsonl")) : [];
  if (metrics.length > 0) {
    const part = await shared("");
    run.trainings.push({ ...part, stage: stageOf(part.settings) ?? (folder || run.name), metrics });
  }
  for (const file of files) {
    const name = file.match(/^(?:.+-)?evaluation(?=\.json$)/)?.[0];
    if (name === undefined) continue;
    const prefix = filePrefix(name);
    const report = await readEvaluation(at(file));
    const method = typeof report.facts.method === "string" ? report.facts.method : name;
    const baseline = /zero-shot|^baseline/.test(method) || prefix === "baseline-";
    const pictures = await readPictureLog(at(`${prefix}pictures.jsonl`));
    run.evaluations.push({ ...await shared(prefix), method, baseline, report, pictures });
  }
}

function stageOf(settings: string | undefined): string | undefined {
  try {
    const value = settings === undefined ? undefined : parse(settings);
    return typeof value === "object" && value !== null ? Object.keys(value)[0] : undefined;
  } catch {
    return undefined;
  }
}

function rank({ method, baseline }: EvaluationPart): number {
  return baseline ? 2 : method === "MASP" ? 0 : 1;
}
