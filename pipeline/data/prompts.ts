import { z } from "zod";
import { MaspError } from "../errors.ts";
import { readJson } from "../read_json.ts";
import { fieldErrors } from "./field_errors.ts";

/** Questions by view name; under `emotion` the templates of the emotion question, in which `{}` stands for the list of categories. */
export type Prompts = Record<string, string[]>;

const question = z.string({ error: "a question" }).refine((text) => text.trim() !== "", "a question that is not empty");
const schema = z.record(
  z.string(),
  z.array(question, { error: "a list of questions" }).min(1, "at least one question"),
).superRefine((prompts, context) => {
  prompts.emotion?.forEach((template, index) => {
    if (typeof template !== "string" || template.includes("{}")) return;
    context.addIssue({ code: "custom", path: ["emotion", index], message: "a text with {} where the categories go" });
  });
});

/**
 * Reads the questions file (`prompt_json_path` of the settings): a JSON object with a list of questions for every view and for `emotion`.
 *
 * @throws {MaspError} When the file is missing, is no JSON object, a view has no question, or an emotion template has no `{}`.
 */
export async function loadPrompts(path: string): Promise<Prompts> {
  const value = await readPromptsFile(path);
  const result = schema.safeParse(value);
  if (!result.success) throw new MaspError(`Prompts file "${path}": ${fieldErrors(result.error, value)}; correct the file`);
  if (Object.keys(value).length === 0) {
    throw new MaspError(`Prompts file "${path}" is empty, expected a list of questions for every view and for "emotion"; fill it in`);
  }
  return result.data;
}

async function readPromptsFile(path: string): Promise<Record<string, unknown>> {
  try {
    return await readJson(path);
  } catch (error) {
    if (!(error instanceof MaspError)) throw error;
    const { cause } = error;
    if (!(cause instanceof Error) || cause instanceof SyntaxError) throw error; // its content is wrong
    const reason = cause instanceof Deno.errors.NotFound ? "is missing" : `cannot be read (${cause.message})`;
    throw new MaspError(`Prompts file "${path}" ${reason}; correct prompt_json_path, or use config/prompts.json`, { cause });
  }
}

/**
 * The questions of one view (or of `emotion`).
 *
 * @throws {MaspError} When there are none; the message names the views that have some.
 */
export function questionsOf(prompts: Prompts, view: string): string[] {
  const questions = Object.hasOwn(prompts, view) ? prompts[view] : [];
  if (questions.length > 0) return questions;
  throw new MaspError(
    `The prompts file has no questions for "${view}", only for ${Object.keys(prompts).join(", ")}; add a list under "${view}"`,
  );
}
