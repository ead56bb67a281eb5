/** Settings: a YAML file and flags → one typed object. */
import { stringify } from "@std/yaml";
import { categoriesOf } from "../pipeline/data/categories.ts";
import { MaspError } from "../pipeline/errors.ts";
import { CONVERTERS } from "./schema_convert.ts";
import { DEFAULTS, REQUIRED } from "./schema_defaults.ts";
import { type CheckedFile, checkFlags, flagOf, readSettingsFile, type SectionName } from "./schema_file.ts";
import { type Key, KEYS, type Stage, type Values } from "./schema_keys.ts";
import { resolvePaths } from "./schema_paths.ts";
import type { SettingsByStage } from "./schema_settings.ts";

export type { Stage } from "./schema_keys.ts";
export type * from "./schema_settings.ts";
export type { AdamWSettings } from "../pipeline/train/adamw_settings.ts";
export type { PromptLayout } from "../pipeline/masp_sequence.ts";
export type { ScheduleType } from "../pipeline/train/schedule.ts";
export type { WeightType } from "../kernels/linear/matrix.ts";

/** Options of {@linkcode loadSettings}. */
export interface LoadSettingsOptions<S extends Stage> {
  /** What the settings are for. */
  stage: S;
  /** Settings given as flags, which go before the file's: `learning-rate`, `learning_rate` and `--learning-rate` mean the same. */
  overrides?: Readonly<Record<string, string | boolean>>;
}

/**
 * Reads settings: the file's `common` section, then the stage's own (`eval`, or `stage2` where there is none, for an evaluation), then the flags; the
 * later goes before the earlier, defaults stand behind all. Numbers, switches and lists may be written as text (`"1e-5"`, `yes`, `scene,object`).
 *
 * @param path A YAML file with the reference's keys, see `config/train.yaml` and `config/eval.yaml`.
 * @param options See {@linkcode LoadSettingsOptions}.
 * @throws {MaspError} When the file cannot be read; otherwise one {@linkcode SettingsError} that names everything that is wrong in any section: unknown keys with the
 * nearest known one, values that are not as expected, and keys that are missing.
 */
export async function loadSettings<S extends Stage>(path: string, options: LoadSettingsOptions<S>): Promise<SettingsByStage[S]> {
  const { overrides = {} } = options;
  const stage: Stage = options.stage;
  const file = await readSettingsFile(path);
  const flags = checkFlags(overrides, stage);
  const name = sectionOf(stage, file);
  const { common, [name]: own } = file.sections;
  const given: Values = { ...common?.values, ...own?.values, ...flags.values };

  const faults = [...file.faults, ...Object.values(file.sections).flatMap((section) => section.faults), ...flags.faults];
  if (!own) faults.push(`section ${name} is missing; the file has ${Object.keys(file.sections).join(", ") || "none"}`);
  const wrong = new Set(faults.map((fault) => fault.split(" ")[0]));
  for (const key of REQUIRED[stage]) {
    const told = wrong.has(`${name}.${key}`) || wrong.has(`common.${key}`) || wrong.has(flagOf(key));
    if (key === "dataname" && given.categories) continue;
    if (given[key] === undefined && !told) faults.push(`${key} is missing; write it below ${name} or give ${flagOf(key)}`);
  }
  if (stage !== "stage1" && given.dataname !== undefined && !given.categories) faults.push(...datanameFaults(given.dataname));
  if (faults.length > 0) throw new SettingsError(path, faults);

  const values: Values = { ...DEFAULTS[stage], ...given };
  const notices = await resolvePaths(stage, { file, flags: flags.values, values });
  const ignored = [...new Set([common, own, flags].flatMap((part) => part?.ignored ?? []))];
  return CONVERTERS[options.stage](values, { ignored, notices, values: written(stage, values) });
}

/**
 * Settings as the text of a file that {@linkcode loadSettings} reads back to the same settings: what a run leaves behind.
 *
 * @param settings From {@linkcode loadSettings}.
 */
export function settingsYaml(settings: SettingsByStage[Stage]): string {
  return stringify({ [settings.stage]: settings.values });
}

function datanameFaults(dataname: string): string[] {
  try {
    categoriesOf(dataname);
    return [];
  } catch (error) {
    if (error instanceof MaspError) return [error.message];
    throw error;
  }
}

function sectionOf(stage: Stage, file: CheckedFile): SectionName {
  return stage === "eval" && !file.sections.eval ? "stage2" : stage;
}

/** The values that the stage uses, in the order of the table of keys. */
function written(stage: Stage, values: Values): Record<string, unknown> {
  const keys = (Object.keys(KEYS) as Key[]).filter((key) => (KEYS[key].stages as readonly Stage[]).includes(stage));
  return Object.fromEntries(keys.filter((key) => values[key] !== undefined).map((key) => [key, values[key]]));
}

/** Settings that are wrong. */
export class SettingsError extends MaspError {
  /** Everything that is wrong, a line each. */
  readonly faults: readonly string[];

  /** @param path the settings file; @param faults at least one */
  constructor(path: string, faults: readonly string[]) {
    super(
      faults.length === 1
        ? `Settings "${path}": ${faults[0]}${faults[0].endsWith("?") ? " Correct" : "; correct"} the file or the flag`
        : `Settings "${path}" have ${faults.length} faults; correct the file or the flags:\n${
          faults.map((fault) => `  ${fault}`).join("\n")
        }`,
    );
    this.faults = faults;
  }
}
