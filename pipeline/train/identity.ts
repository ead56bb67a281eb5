/** Whether an interrupted run may be gone on with. */
import { MaspError } from "../errors.ts";

/** What a run must share with the one that it goes on from, by name. */
export type Identity = Readonly<Record<string, unknown>>;

/**
 * Compares the identity of what is there with that of a run that would go on from it.
 *
 * @param found the identity there, as JSON makes it
 * @param wanted the identity now
 * @param what is there, for the message: `the checkpoint of step 8 in "outputs"`
 * @throws {MaspError} when they differ: names all differences
 */
export function requireSame(found: Identity | undefined, wanted: Identity, what: string): void {
  const there = found ?? {};
  const now = JSON.parse(JSON.stringify(wanted)) as Identity;
  const names = [...new Set([...Object.keys(there), ...Object.keys(now)])];
  const differences = names.map((name) => ({ name, there: JSON.stringify(there[name]), now: JSON.stringify(now[name]) }))
    .filter(({ there, now }) => there !== now);
  if (differences.length === 0) return;
  throw new MaspError(
    `Cannot go on from ${what}: it was made with other settings (${
      differences.map(({ name, there, now }) => `${name}: ${there} there, ${now} now`).join("; ")
    }). Use the same settings, another output folder, or leave out --resume to start again.`,
  );
}
