/** Run folders with known numbers, written by the program's own writers: what a training and an evaluation leave, without a GPU. */
import { join } from "@std/path";
import sharp from "sharp";
import { packMap } from "../../pipeline/report/attention_file.ts";
import type { ReportedPrediction } from "../../pipeline/report/evaluation_report.ts";
import { emotionMetrics } from "../../pipeline/report/metrics.ts";
import { openMetricsLog } from "../../pipeline/report/metrics_log.ts";
import { writePictureLog } from "../../pipeline/report/picture_log.ts";
import { writeEvaluationReport } from "../../pipeline/report/report_files.ts";

/** Categories of the made runs; one is no good as markup. */
export const CATEGORIES = ["awe", "fear", "joy & <b>fun</b>"] as const;

/** Views of the made runs. */
export const VIEWS = ["facial_expression", "object", "scene", "human_action", "brightness", "colorfulness"] as const;

const QUERIES = 5;
const [ROWS, COLUMNS] = [6, 8];

/** Options of {@linkcode makeRun}. */
export interface MakeRunOptions {
  /** Pictures; 12 when left out. */
  pictures?: number;
  /** Every so many pictures one is wrong; 4 when left out. */
  wrongEvery?: number;
  /** Name of the model; `made/model` when left out. */
  model?: string;
  /** Number of the first picture; 0 when left out. */
  first?: number;
  /** Further facts of the evaluations. */
  facts?: Record<string, unknown>;
}

/** Makes a run folder: two trainings, a baseline and an evaluation with maps. @returns the ids of the pictures */
export async function makeRun(dir: string, options: MakeRunOptions = {}): Promise<string[]> {
  const { pictures: count = 12, wrongEvery = 4, model = "made/model", first = 0 } = options;
  for (const stage of ["stage1", "stage2"]) {
    using log = await openMetricsLog(join(dir, stage, "metrics.jsonl"));
    await Deno.writeTextFile(join(dir, stage, "settings.yaml"), `${stage}:\n  seed: 1\n`);
    for (let step = 0; step < 40; step += 4) {
      await log.write({ step, loss: 4 / (1 + step), learning_rate: 1e-3 * (1 - step / 40), gradient_norm: 1 + step % 3, epoch: step / 20 });
    }
  }
  const made = Array.from({ length: count }, (_, i) => prediction(first + i, { wrong: i % wrongEvery === wrongEvery - 1 }));
  const base = Array.from({ length: count }, (_, i) => prediction(first + i, { wrong: i % 3 === 2 }));
  const facts = { model, data: "made/data", "data set": "Made", seed: 1, adapter: "none", ...options.facts as Record<string, string> };
  const report = (predictions: ReportedPrediction[], method: string) => {
    return { facts: { ...facts, method }, metrics: emotionMetrics(predictions, { categories: [...CATEGORIES] }), predictions };
  };
  const out = join(dir, "eval");
  await writeEvaluationReport(out, report(made, "MASP"));
  await writeEvaluationReport(out, report(base.map(({ aspects: _, ...rest }) => rest), "base model, zero-shot"), {
    name: "baseline-evaluation",
  });
  async function* lines() {
    for (const [i, { image }] of made.entries()) {
      const attention = Object.fromEntries(VIEWS.map((view, v) => [view, packMap(mapOf(view, i + v))]));
      yield { image, thumbnail: await thumbnailOf(i), attention };
    }
  }
  await writePictureLog(join(out, "pictures.jsonl"), lines());
  return made.map(({ id }) => id);
}

function prediction(i: number, { wrong }: { wrong: boolean }): ReportedPrediction {
  const label = CATEGORIES[i % 3];
  const answer = wrong ? CATEGORIES[(i + 1) % 3] : label;
  const scores = Object.fromEntries(CATEGORIES.map((name) => [name, name === answer ? 0.8 : 0.1]));
  const aspects = Object.fromEntries(VIEWS.map((view) => [view, `${view} ${i}`]));
  const aspectLabels = { scene: i % 2 ? `scene ${i}` : "elsewhere" };
  return {
    image: `gone/picture_${i}.png`,
    id: `picture_${i}`,
    label,
    text: answer,
    prediction: answer,
    correct: !wrong,
    scores,
    aspects,
    aspectLabels,
  };
}

/** A map whose queries look at different places. */
function mapOf(view: string, seed: number) {
  const queries = Array.from({ length: QUERIES }, (_, q) => {
    const weights = new Float32Array(ROWS * COLUMNS).fill(0.002);
    weights[(7 * seed + 11 * q) % weights.length] = 1 - 0.002 * (weights.length - 1);
    return weights;
  });
  const mean = new Float32Array(ROWS * COLUMNS).map((_, i) => queries.reduce((sum, query) => sum + query[i], 0) / QUERIES);
  return { view, rows: ROWS, columns: COLUMNS, queries, mean };
}

async function thumbnailOf(i: number) {
  const [width, height] = i % 2 ? [64, 48] : [48, 64];
  const background = { r: 20 * i % 256, g: 120, b: 255 - 20 * i % 256 };
  const webp = await sharp({ create: { width, height, channels: 3, background } }).webp().toBuffer();
  return { width, height, webp: new Uint8Array(webp).toBase64() };
}
