/** Paths of settings that depend on each other: what one stage writes is what the next one reads. */
import { exists } from "@std/fs";
import { basename, join, normalize } from "@std/path";
import { DEFAULTS, FEATURE_CACHE, NO_CACHE, OUTPUT_FILES, PROMPTS_PATH } from "./schema_defaults.ts";
import type { CheckedFile } from "./schema_file.ts";
import type { Stage, Values } from "./schema_keys.ts";

/** What {@linkcode resolvePaths} goes by. */
export interface PathSources {
  /** The file, with all its sections. */
  file: CheckedFile;
  /** Values from flags. */
  flags: Values;
  /** Merged values, defaults included. */
  values: Values;
}

/**
 * Fills in and corrects the paths of a stage.
 *
 * @param stage The stage.
 * @param sources See {@linkcode PathSources}; `values` are changed.
 * @returns A line for everything that differs from what was written.
 */
export async function resolvePaths(stage: Stage, { file, flags, values }: PathSources): Promise<string[]> {
  const notices: string[] = [];
  const note = (line: string | undefined) => void (line && notices.push(line));
  if (stage !== "eval") {
    if (flags.output_dir && !flags.output_path && values.output_path) {
      values.output_path = join(flags.output_dir, basename(values.output_path));
    }
    values.output_path ??= join(values.output_dir!, OUTPUT_FILES[stage]);
    if (!flags.output_dir) note(keepApart(stage, { file, values }));
  }
  if (stage !== "stage1" && !flags.ckpt_path) note(await resolveAspects(file, values));
  if (stage === "eval") values.prefix_ckpt_path ??= outputOf("stage2", file);
  if (!flags.prompt_json_path) note(await resolvePrompts(values));
  if (values.feature_cache === undefined && await exists(FEATURE_CACHE, { isDirectory: true })) {
    values.feature_cache = FEATURE_CACHE;
    note(
      `Visual features are kept in "${FEATURE_CACHE}", which deno task encode made; those not there yet are added (feature_cache: ${NO_CACHE} ` +
        "does without).",
    );
  }
  return notices;
}

/** Where a stage of this file writes what it trains. */
function outputOf(stage: "stage1" | "stage2", file: CheckedFile): string {
  const { output_dir, output_path } = { ...DEFAULTS[stage], ...file.sections.common?.values, ...file.sections[stage]?.values };
  return output_path ?? join(output_dir!, OUTPUT_FILES[stage]);
}

/** The reference's file has both stages write into one folder, where their checkpoints and metrics would overwrite each other. */
function keepApart(stage: "stage1" | "stage2", { file, values }: Pick<PathSources, "file" | "values">): string | undefined {
  const other = stage === "stage1" ? "stage2" : "stage1";
  if (!file.sections.stage1 || !file.sections.stage2) return undefined;
  const dir = { ...DEFAULTS[other], ...file.sections.common?.values, ...file.sections[other]?.values }.output_dir!;
  if (normalize(join(dir, ".")) !== normalize(join(values.output_dir!, "."))) return undefined;
  const shared = values.output_dir!;
  values.output_dir = join(shared, stage);
  return `Both stages have the output_dir "${shared}"; ${stage} keeps its checkpoints and metrics in "${values.output_dir}".`;
}

/** The reference's file has stage 2 read from another folder than the one that stage 1 writes to. */
async function resolveAspects(file: CheckedFile, values: Values): Promise<string | undefined> {
  const written = outputOf("stage1", file);
  const wanted = values.ckpt_path ??= file.sections.stage2?.values.ckpt_path ?? written;
  if (wanted === written || !file.sections.stage1 || await exists(wanted) || !await exists(written)) return undefined;
  values.ckpt_path = written;
  return `There is no "${wanted}" (ckpt_path); using "${written}", which stage 1 of this file writes.`;
}

/** The reference keeps its questions at another place, which does not come with this program. */
async function resolvePrompts(values: Values): Promise<string | undefined> {
  const wanted = values.prompt_json_path!;
  const referencePath = /(^|[/\\])config[/\\]prompts[/\\]prompts\.json$/.test(normalize(wanted));
  if (!referencePath || await exists(wanted)) return undefined;
  values.prompt_json_path = PROMPTS_PATH;
  return `There is no "${wanted}" (prompt_json_path); using this program's own questions, "${PROMPTS_PATH}".`;
}
