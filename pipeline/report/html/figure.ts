/** A chart in the page, with its numbers as a table below. */
import { type Chart, chartSvg, type ChartTable } from "../charts/chart.ts";
import { Html, html } from "./html.ts";

/** Options of {@linkcode chartFigure}. */
export interface ChartFigureOptions {
  /** A sentence below the title. */
  note?: string;
  /** Whether two others fit beside it. */
  tall?: boolean;
}

/** A figure: title, chart, table. */
export async function chartFigure(chart: Chart, options: ChartFigureOptions = {}): Promise<Html> {
  const { note, tall } = options;
  const svg = new Html(await chartSvg(chart, { target: "page" }));
  return html`
    <figure class="chart${tall && " tall"}">
      <figcaption>${chart.title}${note && html`<small>${note}</small>`}</figcaption>
      <div class="plot">${svg}</div>
      <details><summary>Numbers<span class="unseen">: ${chart.title}</span></summary>${dataTable(chart.table, chart.title)}</details>
    </figure>
  `;
}

/** A table with a caption for those who hear it. Columns after the first are numbers. */
export function dataTable({ header, rows }: ChartTable, caption: string): Html {
  const [first, ...others] = header;
  return html`
    <div class="scroll" role="region" aria-label="${caption}" tabindex="0">
      <table>
        <caption class="unseen">${caption}</caption>
        <thead>
          <tr><th scope="col">${first}</th>${others.map((name) => html`<th scope="col">${name}</th>`)}</tr>
        </thead>
        <tbody>${rows.map(([name, ...cells]) =>
          html`<tr><th scope="row">${name}</th>${cells.map((cell) => html`<td>${cell}</td>`)}</tr>`
        )}</tbody>
      </table>
    </div>
  `;
}
