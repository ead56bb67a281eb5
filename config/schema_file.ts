/** Settings files and flags → checked values by section; every fault is gathered, none thrown. */
import { parse } from "@std/yaml";
import { MaspError } from "../pipeline/errors.ts";
import { didYouMean } from "./nearest_name.ts";
import { ALIASES, type Key, keyOf, KEYS, type Stage, type Values } from "./schema_keys.ts";

/** Parts of a settings file. `eval` goes before `stage2` in an evaluation; the reference's `eval.yaml` has `stage2` alone. */
export const SECTIONS = ["common", "stage1", "stage2", "eval"] as const;

/** Name of a part. */
export type SectionName = typeof SECTIONS[number];

/** Longest piece of a found value that a message shows. */
const SHOWN = 60;

/** What a file or the flags hold. */
export interface CheckedValues {
  /** Values that are right. */
  values: Values;
  /** Keys that have no meaning here. */
  ignored: string[];
  /** A line for everything that is wrong. */
  faults: string[];
}

/** A checked file. */
export interface CheckedFile {
  /** Its sections. */
  sections: Partial<Record<SectionName, CheckedValues>>;
  /** Faults of the file as a whole. */
  faults: string[];
}

/**
 * Reads a settings file.
 *
 * @throws {MaspError} When it cannot be read or is no YAML; everything else that is wrong is in the result.
 */
export async function readSettingsFile(path: string): Promise<CheckedFile> {
  const content = parseYaml(await readText(path), path) ?? {};
  if (!isRecord(content)) {
    return { sections: {}, faults: [`the file holds ${show(content)}, expected the sections ${SECTIONS.join(", ")}`] };
  }
  const file: CheckedFile = { sections: {}, faults: [] };
  for (const [name, section] of Object.entries(content)) {
    if (!(SECTIONS as readonly string[]).includes(name)) file.faults.push(unknownSection(name));
    else if (!isRecord(section ?? {})) file.faults.push(`${name} is ${show(section)}, expected settings as "key: value" lines below it`);
    else file.sections[name as SectionName] = checkSection(name, section as Record<string, unknown> ?? {});
  }
  return file;
}

/**
 * Checks settings that were given as flags.
 *
 * @param flags Values by name: `learning-rate`, `learning_rate` or `--learning-rate`.
 * @param stage The stage that has to use them.
 */
export function checkFlags(flags: Readonly<Record<string, string | boolean>>, stage: Stage): CheckedValues {
  const result: CheckedValues = { values: {}, ignored: [], faults: [] };
  for (const [name, value] of Object.entries(flags)) {
    const key = keyOf(name);
    const shown = `--${name.replace(/^--/, "").replaceAll("_", "-")}`;
    const stages: readonly Stage[] = key ? KEYS[key].stages : [];
    if (!key) {
      result.faults.push(
        `${shown} is no known flag${
          didYouMean(name.replace(/^--/, ""), names(), flagOf) || "; --help and config/schema_settings.ts name those there are"
        }`,
      );
    } else if (stages.length > 0 && !stages.includes(stage)) {
      result.faults.push(`${shown} has no meaning in ${stage}, only in ${stages.join(", ")}`);
    } else if (typeof value === "string" && value.trim() === "") result.faults.push(`${shown} needs a value`);
    else checkValue(result, { key, value, shown });
  }
  return result;
}

/** A key as a flag: `--learning-rate`. */
export function flagOf(key: string): string {
  return `--${key.toLowerCase().replaceAll("_", "-")}`;
}

function checkSection(section: string, content: Record<string, unknown>): CheckedValues {
  const result: CheckedValues = { values: {}, ignored: [], faults: [] };
  const from = new Map<Key, string>();
  for (const [name, value] of Object.entries(content)) {
    const shown = `${section}.${name}`;
    const key = Object.hasOwn(KEYS, name) ? name as Key : Object.hasOwn(ALIASES, name) ? ALIASES[name] : undefined;
    if (!key) {
      const hint = didYouMean(name, names()) || "; config/train.yaml, config/eval.yaml and config/schema_settings.ts name those there are";
      result.faults.push(`${shown} is no known setting${hint}`);
    } else if (from.has(key)) {
      result.faults.push(`${shown} means the same as ${section}.${from.get(key)}, expected one of the two`);
    } else {
      from.set(key, name);
      checkValue(result, { key, value, shown });
    }
  }
  return result;
}

/** An empty value counts as not given. */
function checkValue(result: CheckedValues, options: { key: Key; value: unknown; shown: string }): void {
  const { key, value, shown } = options;
  if (KEYS[key].stages.length === 0) {
    result.ignored.push(key);
    return;
  }
  if (value === null || value === undefined || (typeof value === "string" && value.trim() === "")) return;
  const parsed = KEYS[key].schema.safeParse(value);
  if (parsed.success) Object.assign(result.values, { [key]: parsed.data });
  else result.faults.push(...new Set(parsed.error.issues.map(({ message }) => `${shown} is ${show(value)}, expected ${message}`)));
}

async function readText(path: string): Promise<string> {
  try {
    return await Deno.readTextFile(path);
  } catch (cause) {
    const reason = cause instanceof Deno.errors.NotFound ? "there is no such file" : (cause as Error).message;
    throw new MaspError(`Cannot read settings "${path}": ${reason}; correct --config, or use config/train.yaml or config/eval.yaml`, {
      cause,
    });
  }
}

function parseYaml(text: string, path: string): unknown {
  try {
    return parse(text);
  } catch (cause) {
    throw new MaspError(`Settings "${path}" are no YAML: ${(cause as Error).message.trim()}\nCorrect the file.`, { cause });
  }
}

function unknownSection(name: string): string {
  const key = keyOf(name);
  if (key) return `${name} is no section; it is a setting, which belongs below one of ${SECTIONS.join(", ")}`;
  return `${name} is no section${didYouMean(name, SECTIONS) || `; sections are ${SECTIONS.join(", ")}`}`;
}

function names(): string[] {
  return [...Object.keys(KEYS), ...Object.keys(ALIASES)];
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function show(value: unknown): string {
  const text = typeof value === "number" ? String(value) : asJson(value) ?? String(value);
  return text.length > SHOWN ? `${text.slice(0, SHOWN)}…` : text;
}

/** YAML's anchors can make values that contain themselves. */
function asJson(value: unknown): string | undefined {
  try {
    return JSON.stringify(value);
  } catch {
    return "a value that contains itself";
  }
}
