import type { z } from "zod";

/** Longest piece of a found value that is shown. */
const SHOWN = 60;

/**
 * Every fault that a zod schema found, as `KEY is VALUE, expected EXPECTATION`, joined with "; ". The schema's messages have to be the expectations.
 *
 * @param error What `safeParse` returned.
 * @param input What was parsed, for the values.
 */
export function fieldErrors(error: z.ZodError, input: unknown): string {
  return error.issues.map((issue) => {
    let found: unknown = input;
    for (const key of issue.path) found = (found as Record<PropertyKey, unknown> | undefined)?.[key];
    const name = issue.path.map(String).join(".") || "it";
    const text = JSON.stringify(found) ?? "missing";
    return `${name} is ${text.length > SHOWN ? `${text.slice(0, SHOWN)}…` : text}, expected ${issue.message}`;
  }).join("; ");
}
