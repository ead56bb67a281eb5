/** HTML as a template literal: what is put in is escaped, unless it is HTML already. */
import { escapeXml } from "../charts/chart.ts";

/** Text that is HTML. */
export class Html {
  /** @param text the markup */
  constructor(readonly text: string) {}

  /** The markup. */
  toString(): string {
    return this.text;
  }
}

/** What can stand in a template: lists are joined, `undefined`, `null` and `false` leave nothing. */
export type HtmlPart = Html | string | number | false | null | undefined | readonly HtmlPart[];

/**
 * Markup with parts that are escaped.
 *
 * @example
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { html } from "./html.ts";
 *
 * const name = "<b>";
 * assertEquals(String(html`<p title="${name}">${[html`<i>1</i>`, 2]}${false}</p>`), '<p title="&lt;b&gt;"><i>1</i>2</p>');
 * ```
 */
export function html(strings: TemplateStringsArray, ...parts: readonly HtmlPart[]): Html {
  return new Html(strings.reduce((text, string, i) => text + string + (i < parts.length ? markup(parts[i]) : ""), ""));
}

function markup(part: HtmlPart): string {
  if (part === undefined || part === null || part === false) return "";
  if (part instanceof Html) return part.text;
  if (Array.isArray(part)) return part.map(markup).join("");
  return escapeXml(String(part));
}
