import { z } from "zod";
import { MaspError } from "../errors.ts";
import { fieldErrors } from "./field_errors.ts";

const share = z.number({ error: "a number from 0 to 1" }).min(0, "a number from 0 to 1").max(1, "a number from 0 to 1").nullish();
const words = z.union([z.string(), z.array(z.string())], { error: "a text or a list of texts" }).nullish();
const schema = z.looseObject({
  image_id: z.union([z.string(), z.number()], { error: "a text" }).nullish(),
  emotion: z.string({ error: "a text" }).nullish(),
  brightness: share,
  colorfulness: share,
  scene: words,
  object: words,
  facial_expression: words,
  human_action: words,
}, { error: "a JSON object" });

const LEVELS = ["very low", "low", "moderate", "high", "very high"];

/** What is known about one picture: one file of EmoSet's `annotation/` folder. */
export interface Annotation {
  /** Where it was read, for messages. */
  path: string;
  /** The emotion, lower case; absent where the file has none. */
  emotion?: string;
  /** Every key of the file with its value as it stands there. */
  values: Readonly<Record<string, unknown>>;
}

/**
 * Reads one annotation file (EmoSet, Yang et al., ICCV 2023: `annotation/LABEL/ID.json`).
 *
 * @throws {MaspError} When the file cannot be read, is no JSON object, or a value has a wrong type or range.
 */
export async function readAnnotation(path: string): Promise<Annotation> {
  try {
    return parseAnnotation(await Deno.readTextFile(path), path);
  } catch (cause) {
    if (cause instanceof MaspError) throw cause;
    throw new MaspError(`Cannot read annotation "${path}": ${(cause as Error).message}; restore or remove the file`, { cause });
  }
}

/**
 * Checks the text of an annotation file.
 *
 * @param text The file's content.
 * @param path Where it comes from, for messages.
 * @throws {MaspError} When it is no JSON object, or a value has a wrong type or range (all such values are named).
 */
export function parseAnnotation(text: string, path: string): Annotation {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (cause) {
    throw new MaspError(`Annotation "${path}" is no JSON (${(cause as Error).message}); restore or remove the file`, { cause });
  }
  const result = schema.safeParse(value);
  if (!result.success) throw new MaspError(`Annotation "${path}": ${fieldErrors(result.error, value)}; correct or remove the file`);
  const emotion = result.data.emotion?.trim().toLowerCase();
  return { path, ...(emotion ? { emotion } : {}), values: result.data };
}

/**
 * What an annotation says about one view, in the words that the model learns to answer: lists joined with ", ", brightness and colorfulness in five
 * levels of width 0.2 from "very low" to "very high", underscores as spaces, lower case.
 *
 * @param annotation From {@linkcode readAnnotation}.
 * @param view Name of the view, which is the key that is read.
 * @returns The label, or `undefined` where the annotation has none (key absent, null, empty text or empty list). 0 is a value.
 * @throws {MaspError} When the value of a view of one's own is neither text, number nor list of texts.
 *
 * @example
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { aspectLabel, parseAnnotation } from "./annotation.ts";
 *
 * const annotation = parseAnnotation('{"brightness": 0, "scene": "city_street"}', "example.json");
 * assertEquals(aspectLabel(annotation, "brightness"), "very low");
 * assertEquals(aspectLabel(annotation, "scene"), "city street");
 * assertEquals(aspectLabel(annotation, "object"), undefined);
 * ```
 */
export function aspectLabel(annotation: Annotation, view: string): string | undefined {
  const value = Object.hasOwn(annotation.values, view) ? annotation.values[view] : undefined;
  if (value === undefined || value === null) return undefined;
  if (typeof value === "number") return view === "brightness" || view === "colorfulness" ? levelOf(value) : String(value);
  if (typeof value === "string") return plainWords(value) || undefined;
  if (Array.isArray(value) && value.every((item) => typeof item === "string")) {
    return value.map(plainWords).filter((item) => item !== "").join(", ") || undefined;
  }
  throw new MaspError(
    `Annotation "${annotation.path}": ${view} is ${JSON.stringify(value)}, expected a text, a number or a list of texts; ` +
      `correct the file or leave ${view} out of the views`,
  );
}

/**
 * The level of a brightness or colorfulness, 0…1, in words.
 *
 * Compared in f64 with the edges as they are written, as the reference does: 0.6 is "high" although 0.6 / 0.2 is below 3.
 */
export function levelOf(value: number): string {
  return LEVELS[[0.2, 0.4, 0.6, 0.8].filter((edge) => value >= edge).length];
}

function plainWords(text: string): string {
  return text.replaceAll("_", " ").trim().toLowerCase();
}
