/** Loss, learning rate and gradient norm over the steps, stage by stage. */
import { type Curve, CURVE_TITLES, curveChart } from "../charts/curve_chart.ts";
import { plainName } from "../charts/chart.ts";
import type { TrainingPart } from "../run_folder.ts";
import { chartFigure } from "./figure.ts";
import { type Html, html } from "./html.ts";

/** A training with the name of its line. */
export interface NamedTraining {
  /** Name of the run. */
  run: string;
  /** The training. */
  training: TrainingPart;
}

/** The section of some runs' trainings; nothing without any. */
export async function trainingSection(trainings: readonly NamedTraining[], id: string): Promise<Html | undefined> {
  if (trainings.length === 0) return undefined;
  const stages = Map.groupBy(trainings, ({ training }) => training.stage);
  const parts: Html[] = [];
  for (const [stage, group] of [...stages].sort(([a], [b]) => (a < b ? -1 : 1))) {
    const curves = group.map(({ run, training }): Curve => ({
      name: group.length === 1 ? run : training.folder && training.folder !== stage ? `${run}/${training.folder}` : run,
      metrics: training.metrics,
    }));
    const figures: Html[] = [];
    for (const field of Object.keys(CURVE_TITLES)) {
      const chart = curveChart(curves, { field });
      if (chart) figures.push(await chartFigure({ ...chart, title: `${chart.title}, ${stageName(stage).toLowerCase()}` }));
    }
    if (figures.length > 0) {
      parts.push(html`
        <h3>${stageName(stage)}</h3>
        <p class="lead">${stageNote(stage)}</p>
        <div class="charts three">${figures}</div>
      `);
    }
  }
  return parts.length > 0 ? html`<section id="${id}"><h2>Training</h2>${parts}</section>` : undefined;
}

function stageName(stage: string): string {
  return stage.match(/^stage[12]$/) ? `Stage ${stage.at(-1)}` : plainName(stage);
}

function stageNote(stage: string): string {
  if (stage === "stage1") {
    return "Query vectors and cross-attention of each aspect learn to answer its questions. The language model is frozen.";
  }
  if (stage === "stage2") return "The soft prompt learns to name the emotion. The language model and the aspects are frozen.";
  return "";
}
