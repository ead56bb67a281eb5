/**
 * Number of single-letter insertions, deletions and replacements that turn one text into another, an exchange of two neighbouring letters counting as
 * one (optimal string alignment).
 */
export function editDistance(from: string, to: string): number {
  let beforeLast: number[] = [];
  let last = Array.from({ length: to.length + 1 }, (_, j) => j);
  for (let i = 1; i <= from.length; i++) {
    const row = [i];
    for (let j = 1; j <= to.length; j++) {
      const same = from[i - 1] === to[j - 1];
      row[j] = Math.min(last[j] + 1, row[j - 1] + 1, last[j - 1] + (same ? 0 : 1));
      if (i > 1 && j > 1 && from[i - 1] === to[j - 2] && from[i - 2] === to[j - 1]) row[j] = Math.min(row[j], beforeLast[j - 2] + 1);
    }
    [beforeLast, last] = [last, row];
  }
  return last[to.length];
}

/** Part of the longer name's letters that may differ. */
const SHARE = 0.4;
/** Letters that a beginning must have to stand for a name. */
const BEGINNING = 3;

/**
 * The name that is most like what somebody wrote, case and the kind of dash left out of account.
 *
 * @param name What was written.
 * @param names The names that exist.
 * @returns The nearest one, or the first that begins with what was written or is the beginning of it; nothing when none is like it: more than two
 * fifths of the letters would have to change (one letter may always).
 *
 * @example
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { nearestName } from "./nearest_name.ts";
 *
 * assertEquals(nearestName("learning-rat", ["seed", "learning_rate"]), "learning_rate");
 * assertEquals(nearestName("model", ["seed", "model_name"]), "model_name");
 * assertEquals(nearestName("foo", ["seed", "learning_rate"]), undefined);
 * ```
 */
export function nearestName(name: string, names: readonly string[]): string | undefined {
  const plain = (text: string) => text.toLowerCase().replaceAll("-", "_");
  const own = plain(name);
  const near = names.map((known) => ({ known, distance: editDistance(own, plain(known)) }))
    .filter(({ known, distance }) => distance <= Math.max(1, Math.floor(SHARE * Math.max(own.length, known.length))))
    .sort((a, b) => a.distance - b.distance);
  if (near.length) return near[0].known;
  return names.find((known) => beginsWith(plain(known), own) || beginsWith(own, plain(known)));
}

/** The question that a message ends with, `; did you mean seed?`, or an empty text where no name is like what was written. */
export function didYouMean(name: string, names: readonly string[], show: (nearest: string) => string = (nearest) => nearest): string {
  const nearest = nearestName(name, names);
  return nearest === undefined ? "" : `; did you mean ${show(nearest)}?`;
}

function beginsWith(text: string, beginning: string): boolean {
  return beginning.length >= BEGINNING && text.startsWith(beginning);
}

/** The names that are most like what somebody wrote, nearest first, each once; at most `count`. See {@linkcode nearestName}. */
export function nearestNames(name: string, names: readonly string[], options: { count: number }): string[] {
  const plain = (text: string) => text.toLowerCase().replaceAll("-", "_");
  const distances = [...new Set(names)].map((known) => ({ known, distance: editDistance(plain(name), plain(known)) }));
  return distances.sort((a, b) => a.distance - b.distance).slice(0, options.count).map(({ known }) => known);
}
