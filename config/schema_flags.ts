import { flagOf } from "./schema_file.ts";
import { type Key, keyOf, KEYS, type Stage } from "./schema_keys.ts";

/** What `parseArgs` of `@std/cli` has to know about the settings of a stage; to be joined with the task's own flags. */
export interface SettingFlags {
  /** Flags that take a value, in both forms: `learning-rate` and `learning_rate`. */
  string: string[];
  /** Switches, in both forms. */
  boolean: string[];
  /** Switches that `--no-…` turns off. */
  negatable: string[];
  /** A value for every switch that tells "not given" from "off". */
  default: Record<string, unknown>;
}

const NOT_GIVEN = "not given";

/** Flags for the settings of a stage, or of any of several. */
export function settingFlags(stage: Stage | readonly Stage[]): SettingFlags {
  const wanted: readonly Stage[] = typeof stage === "string" ? [stage] : stage;
  const names = (isRight: (key: Key) => boolean) =>
    (Object.keys(KEYS) as Key[]).filter((key) => usable(key, wanted) && isRight(key)).flatMap((key) => {
      const dashed = flagOf(key).slice(2);
      return [...new Set([dashed, key.toLowerCase(), key])];
    });
  const isSwitch = (key: Key) => KEYS[key].schema.safeParse("yes").data === true;
  const boolean = names(isSwitch);
  const aliases = wanted.includes("eval") ? ["soft-prompt-path", "soft_prompt_path"] : [];
  return {
    string: [...names((key) => !isSwitch(key)), ...aliases],
    boolean,
    negatable: boolean,
    default: Object.fromEntries(boolean.map((name) => [name, NOT_GIVEN])),
  };
}

/**
 * The settings among parsed flags, as `loadSettings` takes them for its `overrides`.
 *
 * @param flags Result of `parseArgs` with {@linkcode settingFlags}.
 * @param stage The stage, or the stages.
 */
export function settingOverrides(flags: Readonly<Record<string, unknown>>, stage: Stage | readonly Stage[]): Record<string, string> {
  const { string, boolean } = settingFlags(stage);
  const given = [...string, ...boolean].filter((name) => flags[name] !== undefined && flags[name] !== NOT_GIVEN);
  return Object.fromEntries(given.map((name) => [name, String(flags[name])]));
}

/**
 * Those of several stages' overrides that one stage can take; unknown ones stay, to be named.
 *
 * @param overrides From {@linkcode settingOverrides}.
 * @param stage The stage.
 */
export function overridesFor(overrides: Readonly<Record<string, string>>, stage: Stage): Record<string, string> {
  return Object.fromEntries(
    Object.entries(overrides).filter(([name]) => {
      const key = keyOf(name);
      return key === undefined || usable(key, [stage]);
    }),
  );
}

/** Keys without a meaning are taken in every stage, to be named in the notice. */
function usable(key: Key, wanted: readonly Stage[]): boolean {
  const stages: readonly Stage[] = KEYS[key].stages;
  return stages.length === 0 || wanted.some((stage) => stages.includes(stage));
}
