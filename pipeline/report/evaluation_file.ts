/** `evaluation.json` of a run folder, checked where the report relies on it. */
import { z } from "zod";
import { fieldErrors } from "../data/field_errors.ts";
import { MaspError } from "../errors.ts";
import type { EvaluationReport } from "./evaluation_report.ts";

const proportion = z.looseObject({
  correct: z.number(),
  total: z.number(),
  value: z.number(),
  interval: z.tuple([z.number(), z.number()]),
});
const texts = z.record(z.string(), z.string());
const schema = z.looseObject({
  facts: z.record(z.string(), z.unknown()), // shown as they are, whatever a run tells
  metrics: z.looseObject({
    total: z.number(),
    accuracy: proportion,
    trimmed: proportion,
    macroF1: z.number(),
    weightedF1: z.number(),
    classes: z.array(z.looseObject({
      category: z.string(),
      support: z.number(),
      predicted: z.number(),
      precision: z.number(),
      recall: z.number(),
      f1: z.number(),
    })),
    confusion: z.looseObject({ categories: z.array(z.string()), counts: z.array(z.array(z.number())) }),
  }),
  predictions: z.array(z.looseObject({
    image: z.string(),
    id: z.string(),
    label: z.string(),
    text: z.string(),
    prediction: z.string(),
    correct: z.boolean(),
    scores: z.record(z.string(), z.number()).optional(),
    aspects: texts.optional(),
    aspectLabels: texts.optional(),
  })),
});

/**
 * Reads an evaluation.
 *
 * @throws {MaspError} when the file is no JSON or lacks something
 */
export async function readEvaluation(path: string): Promise<EvaluationReport> {
  let value: unknown;
  try {
    value = JSON.parse(await Deno.readTextFile(path));
  } catch (cause) {
    throw new MaspError(`Cannot read "${path}": ${(cause as Error).message}; evaluate again (deno task eval)`, { cause });
  }
  const result = schema.safeParse(value);
  if (result.success) return value as EvaluationReport;
  throw new MaspError(`"${path}" is no evaluation: ${fieldErrors(result.error, value)}; evaluate again (deno task eval)`);
}
