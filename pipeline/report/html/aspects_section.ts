/** How well the aspects answer in words. */
import { aspectResults } from "../aspect_results.ts";
import { plainName } from "../charts/chart.ts";
import { intervalChart } from "../charts/interval_chart.ts";
import type { EvaluationPart } from "../run_folder.ts";
import { chartFigure } from "./figure.ts";
import { type Html, html } from "./html.ts";

/** The section of an evaluation; nothing when its pictures have no annotated aspects. */
export async function aspectsSection({ report }: EvaluationPart, id: string): Promise<Html | undefined> {
  const results = aspectResults(report.predictions);
  if (results.size === 0) return undefined;
  const rows = [...results].map(([view, share]) => ({ name: plainName(view), share }));
  const chart = intervalChart(rows, { title: "Aspects in words", axis: "answers that are the annotation, word for word" });
  return html`<section id="${id}">
<h2>Aspects</h2>
<p class="lead">The model is asked about an aspect and sees only that aspect's tokens in place of the picture. Lists count only when every item is right and in order.</p>
${await chartFigure(chart)}
</section>`;
}
