/** Figures of a run as files for papers: confusion matrix, curves, other charts, and the attention of one picture; SVG and PNG. */
import { join } from "@std/path";
import { writeFileAtomic } from "../checkpoint/atomic_write.ts";
import { MaspError } from "../errors.ts";
import { aspectResults } from "./aspect_results.ts";
import { attentionFigure, findPicture } from "./attention_figure.ts";
import { calibration } from "./calibration.ts";
import { type Chart, chartSvg, plainName } from "./charts/chart.ts";
import { classChart } from "./charts/class_chart.ts";
import { confusionChart } from "./charts/confusion_chart.ts";
import { CURVE_TITLES, curveChart } from "./charts/curve_chart.ts";
import { intervalChart } from "./charts/interval_chart.ts";
import { reliabilityChart } from "./charts/reliability_chart.ts";
import { readRunFolder, type RunFolder } from "./run_folder.ts";

/** Options of {@linkcode writeFigures}. */
export interface FigureOptions {
  /** Forms of the files. */
  formats: readonly ("svg" | "png")[];
  /** Where they go; the folder `figures` in the run's when left out. */
  out?: string;
  /** Id or path of the picture whose attention is drawn; none is when left out. */
  picture?: string;
  /** Draw each query of that picture, too. */
  queries?: boolean;
}

/** Pixels of a PNG to a unit of the SVG: about 300 to the inch at the size of a page's column. */
const SCALE = 3;

/**
 * Writes the figures of a run.
 *
 * @param dir folder of the run, as for a report
 * @returns the files
 * @throws {MaspError} when it is no run, or has no such picture or no attention maps
 */
export async function writeFigures(dir: string, options: FigureOptions): Promise<string[]> {
  const { formats, picture, queries } = options;
  const run = await readRunFolder(dir);
  const figures = new Map<string, string>();
  if (picture !== undefined) {
    const found = pictureOf(run, picture);
    figures.set(`attention-${found.prediction.id.replace(/[^\w.-]+/g, "_")}`, await attentionFigure(found, { queries }));
  }
  for (const [name, chart] of chartsOf(run)) figures.set(name, await chartSvg(chart));
  const files: string[] = [];
  for (const [name, svg] of figures) {
    for (const format of formats) {
      const path = join(options.out ?? join(dir, "figures"), `${name}.${format}`);
      await writeFileAtomic(path, format === "svg" ? svg : await figurePng(svg));
      files.push(path);
    }
  }
  return files;
}

/**
 * Makes sure that the attention of a picture can be drawn, before anything is written.
 *
 * @param dir folder of the run, as for a report
 * @param picture its id or path
 * @throws {MaspError} when it is no run, has no such picture (the nearest ones are named), or no attention maps of it
 */
export async function requirePicture(dir: string, picture: string): Promise<void> {
  pictureOf(await readRunFolder(dir), picture);
}

function pictureOf({ path, evaluations: [main] }: RunFolder, picture: string): ReturnType<typeof findPicture> {
  if (main) return findPicture(main, picture);
  throw new MaspError(`"${path}" has no evaluation, so there is no picture "${picture}"; evaluate first (deno task eval --details)`);
}

/** An SVG file as a PNG on white. */
export async function figurePng(svg: string): Promise<Uint8Array> {
  const { default: sharp } = await import("sharp");
  const image = sharp(new TextEncoder().encode(svg), { density: 72 * SCALE }).flatten({ background: "white" });
  return new Uint8Array(await image.png({ compressionLevel: 9 }).toBuffer());
}

function chartsOf(run: RunFolder): Map<string, Chart> {
  const charts = new Map<string, Chart>();
  const [main] = run.evaluations;
  if (main) {
    const { metrics, predictions } = main.report;
    charts.set("confusion", confusionChart(metrics.confusion));
    charts.set("categories", classChart(metrics.classes));
    const reliability = calibration(predictions);
    if (reliability) charts.set("reliability", reliabilityChart(reliability));
    const aspects = [...aspectResults(predictions)].map(([view, share]) => ({ name: plainName(view), share }));
    if (aspects.length > 0) charts.set("aspects", intervalChart(aspects, { title: "Aspects in words", axis: "right answers" }));
  }
  for (const { stage, folder, metrics } of run.trainings) {
    for (const field of Object.keys(CURVE_TITLES)) {
      const chart = curveChart([{ name: stage, metrics }], { field });
      if (chart) charts.set(`${folder || stage}-${field}`, chart);
    }
  }
  return charts;
}
