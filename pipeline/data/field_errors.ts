/** Longest piece of a found value that is shown. */
const SHOWN = 60;

/** The part of zod's error that is read here. */
export interface SchemaFaults {
  /** Where each fault is, and what was expected there. */
  issues: readonly { path: readonly PropertyKey[]; message: string }[];
}

/**
 * Every fault that a zod schema found, as `KEY is VALUE, expected EXPECTATION`, joined with "; ". The schema's messages have to be the expectations.
 *
 * @param error What `safeParse` returned.
 * @param input What was parsed, for the values.
 */
export function fieldErrors(error: SchemaFaults, input: unknown): string {
  return error.issues.map((issue) => {
    let found: unknown = input;
    for (const key of issue.path) found = (found as Record<PropertyKey, unknown> | undefined)?.[key];
    const name = issue.path.map(String).join(".") || "it";
    const text = JSON.stringify(found) ?? "missing";
    return `${name} is ${text.length > SHOWN ? `${text.slice(0, SHOWN)}…` : text}, expected ${issue.message}`;
  }).join("; ");
}
