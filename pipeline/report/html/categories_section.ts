/** Which emotions are confused, how good each is, and whether the probabilities can be trusted. */
import { calibration } from "../calibration.ts";
import { classChart } from "../charts/class_chart.ts";
import { confusionChart } from "../charts/confusion_chart.ts";
import { reliabilityChart } from "../charts/reliability_chart.ts";
import type { EvaluationPart } from "../run_folder.ts";
import { chartFigure } from "./figure.ts";
import { type Html, html } from "./html.ts";

/** The section of an evaluation. */
export async function categoriesSection({ report }: EvaluationPart, id: string): Promise<Html> {
  const { metrics, predictions } = report;
  const reliability = calibration(predictions);
  const { other } = metrics;
  return html`<section id="${id}">
<h2>Categories</h2>
<div class="charts">
${await chartFigure(confusionChart(metrics.confusion), {
    tall: true,
    note: "A row per label, a column per answer; the stronger the colour, the larger its part of the row.",
  })}
${await chartFigure(classChart(metrics.classes), { note: "Recall: found among its pictures. Precision: right among its answers." })}
${
    reliability &&
    await chartFigure(reliabilityChart(reliability), { note: "On the dashed line, an answer of 70 % is right 70 times in 100." })
  }
</div>
${
    other?.count > 0 &&
    html`<p>${other.count} of ${metrics.total} answers are no category, most often ${
      other.answers.slice(0, 5).map(({ answer }) => `“${answer}”`).join(", ")
    }.</p>`
  }
</section>`;
}
