/** The page around the sections: one file, nothing is fetched. */
import { COLOURS } from "../charts/chart.ts";
import CLIENT from "./client.js" with { type: "text" };
import { Html, html } from "./html.ts";
import ASPECTS_STYLE from "./aspects.css" with { type: "text" };
import CHART_STYLE from "./chart.css" with { type: "text" };
import GALLERY_STYLE from "./gallery.css" with { type: "text" };
import PAGE_STYLE from "./page.css" with { type: "text" };

/** What the page shows. */
export interface PageContent {
  /** Heading, and title of the window. */
  title: string;
  /** What it is about, in a line. */
  facts: readonly string[];
  /** Entries of the navigation: anchors and names. */
  links: readonly { id: string; name: string }[];
  /** The sections. */
  body: readonly Html[];
}

/** Nothing may be fetched: no script, picture or font from elsewhere. */
const POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'unsafe-inline'";

/** The whole file. */
export function page(content: PageContent): string {
  const { title, facts, links, body } = content;
  return `<!doctype html>\n${html`
    <html lang="en">
      <head>
        <meta charset="utf-8">
        <meta name="viewport" content="width=device-width, initial-scale=1">
        <meta http-equiv="Content-Security-Policy" content="${new Html(POLICY)}">
        <title>${title}</title>
        <link rel="icon" href="data:,">
        <style>${new Html([variables(), PAGE_STYLE, CHART_STYLE, GALLERY_STYLE, ASPECTS_STYLE].join(""))}</style>
      </head>
      <body>
        <a class="skip" href="#content">To the content</a>
        <header>
          <div class="band">
            <h1>${title}</h1>
            <p class="facts">${facts.map((fact) => html`<span>${fact}</span>`)}</p>
          </div>
        </header>
        <nav aria-label="Sections">
          <div class="band">
            <ul>${links.map(({ id, name }) => html`<li><a href="#${id}">${name}</a></li>`)}</ul>
          </div>
        </nav>
        <main id="content" class="band">${body}</main>
        <footer>
          <div class="band">Made by MASP on Deno from the files of the run. Opens without a network.</div>
        </footer>
        <script>${new Html(CLIENT)}</script>
      </body>
    </html>
  `}\n`;
}

function variables(): string {
  const all = (mode: 0 | 1) => Object.entries(COLOURS).map(([name, colours]) => `--${name}: ${colours[mode]};`).join(" ");
  return `:root { ${all(0)} --shade: #0002; }\n@media (prefers-color-scheme: dark) { :root { ${all(1)} --shade: #000c; } }\n`;
}
