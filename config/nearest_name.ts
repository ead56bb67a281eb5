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

/**
 * The name that is most like what somebody wrote, case and the kind of dash left out of account.
 *
 * @param name What was written.
 * @param names The names that exist, at least one.
 *
 * @example
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { nearestName } from "./nearest_name.ts";
 *
 * assertEquals(nearestName("learning-rat", ["seed", "learning_rate"]), "learning_rate");
 * ```
 */
export function nearestName(name: string, names: readonly string[]): string {
  return nearestNames(name, names, { count: 1 })[0];
}

/** The names that are most like what somebody wrote, nearest first, each once; at most `count`. See {@linkcode nearestName}. */
export function nearestNames(name: string, names: readonly string[], options: { count: number }): string[] {
  const plain = (text: string) => text.toLowerCase().replaceAll("-", "_");
  const distances = [...new Set(names)].map((known) => ({ known, distance: editDistance(plain(name), plain(known)) }));
  return distances.sort((a, b) => a.distance - b.distance).slice(0, options.count).map(({ known }) => known);
}
