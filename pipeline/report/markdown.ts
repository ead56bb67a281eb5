/** Pieces of Markdown text. */

/**
 * A table. Cells are escaped; columns after the first are set to the right.
 *
 * @param header Names of the columns.
 * @param rows Cells, as many as columns in each row.
 * @returns Lines, the last one ended.
 */
export function markdownTable(header: readonly string[], rows: readonly (readonly (string | number)[])[]): string {
  const line = (cells: readonly (string | number)[]) => `| ${cells.map((cell) => escapeMarkdown(String(cell))).join(" | ")} |\n`;
  const rule = `|${header.map((_, i) => (i === 0 ? " --- " : " ---: ")).join("|")}|\n`;
  return line(header) + rule + rows.map(line).join("");
}

/** Text that stands for itself in Markdown, on one line. */
export function escapeMarkdown(text: string): string {
  return text.replace(/[\\`*_|<>[\]]/g, "\\$&").replace(/\s+/g, " ");
}

/** Code in a line of text; what is empty or blank stays visible by its quotes. */
export function inlineCode(text: string): string {
  const shown = JSON.stringify(text);
  const fence = "`".repeat(1 + Math.max(0, ...[...shown.matchAll(/`+/g)].map(([run]) => run.length)));
  return fence.length > 1 ? `${fence} ${shown} ${fence}` : `\`${shown}\``;
}

/** A share as a percentage with one decimal, such as `71.9 %`. */
export function percent(share: number): string {
  return `${(100 * share).toFixed(1)} %`;
}
