/** The attention of one picture as a figure for a paper: the picture, then a column per view with its map and its answer in words. */
import { nearestNames } from "../../config/nearest_name.ts";
import { MaspError } from "../errors.ts";
import { unpackMap } from "./attention_file.ts";
import { escapeXml, plainName, withColours } from "./charts/chart.ts";
import type { ReportedPrediction } from "./evaluation_report.ts";
import { stem } from "../data/folders.ts";
import { type HeatmapInput, heatmapPng } from "./heatmap.ts";
import type { PictureLine } from "./picture_log.ts";
import type { EvaluationPart } from "./run_folder.ts";
import { thumbnailOf } from "./thumbnail.ts";

/** Pixels of a tile across, between tiles, and for the words around them. */
const [TILE, GAP, HEAD, FOOT] = [150, 12, 24, 44];
/** Pixels of the picture's longer side, for print. */
const DETAIL = 480;

/** Options of {@linkcode attentionFigure}. */
export interface AttentionFigureOptions {
  /** A row for each query below the row of means. */
  queries?: boolean;
}

/**
 * Finds a picture of an evaluation.
 *
 * @param picture its id, or its path
 * @throws {MaspError} when there is none, or it has no attention maps
 */
export function findPicture(part: EvaluationPart, picture: string): { prediction: ReportedPrediction; line: PictureLine } {
  const { predictions } = part.report;
  const prediction = predictions.find(({ id, image }) => id === picture || image === picture);
  if (!prediction) {
    const nearest = nearestNames(stem(picture), predictions.map(({ id }) => id), { count: 3 });
    const hint = nearest.length ? `; the nearest of its ${predictions.length} pictures: ${nearest.join(", ")}` : ", which has none";
    throw new MaspError(
      `There is no picture "${picture}" in the evaluation${hint}. Give an id from predictions.jsonl, or a path from there.`,
    );
  }
  const line = part.pictures.get(prediction.image);
  if (!line?.attention || Object.keys(line.attention).length === 0) {
    throw new MaspError(`The run has no attention maps of "${picture}"; evaluate with deno task eval --details`);
  }
  return { prediction, line };
}

/**
 * Draws the figure.
 *
 * @param found from {@linkcode findPicture}
 * @param options see {@linkcode AttentionFigureOptions}
 * @returns an SVG file with everything in it
 */
export async function attentionFigure(
  found: { prediction: ReportedPrediction; line: PictureLine },
  options: AttentionFigureOptions = {},
): Promise<string> {
  const { prediction: { id, image, label, prediction, aspects = {} }, line } = found;
  const maps = Object.entries(line.attention ?? {}).map(([view, packed]) => unpackMap(view, packed));
  const picture = await thumbnailOf(image, { size: DETAIL }).catch(() => line.thumbnail);
  const ratio = picture ? picture.height / picture.width : maps[0].rows / maps[0].columns;
  const height = Math.round(TILE * ratio);
  const place = { width: TILE, height };
  const rows = options.queries ? 1 + Math.max(...maps.map(({ queries }) => queries.length)) : 1;
  const total = { width: (maps.length + 1) * (TILE + GAP) - GAP, height: HEAD + rows * (height + GAP) - GAP + FOOT };
  const base = picture
    ? `<symbol id="picture" viewBox="0 0 ${TILE} ${height}"><image width="${TILE}" height="${height}" href="data:image/png;base64,${await pngOf(
      picture.webp,
    )}"/></symbol>`
    : `<symbol id="picture"><rect width="${TILE}" height="${height}" fill="#e3e5e8"/></symbol>`;
  const use = (x: number, y: number) => `<use href="#picture" x="${x}" y="${y}" width="${TILE}" height="${height}"/>`;
  const parts = [
    use(0, HEAD),
    text(id, { x: 0, y: HEAD - 8 }),
    ...below([`${prediction.trim()}`, `label: ${label}`], { x: 0, y: HEAD + height }),
  ];
  for (const [column, map] of maps.entries()) {
    const x = (column + 1) * (TILE + GAP);
    parts.push(text(plainName(map.view), { x, y: HEAD - 8, bold: true }));
    const shown = options.queries ? [map.mean, ...map.queries] : [map.mean];
    for (const [row, weights] of shown.entries()) {
      const y = HEAD + row * (height + GAP);
      parts.push(use(x, y), await overlay({ ...map, weights }, { ...place, x, y }));
    }
    const y = HEAD + (shown.length - 1) * (height + GAP) + height;
    if (aspects[map.view] !== undefined) parts.push(...below(wrapped(`“${aspects[map.view]}”`), { x, y }));
  }
  if (options.queries) {
    for (let row = 1; row < rows; row++) {
      parts.push(text(`query ${row}`, { x: TILE, y: HEAD + row * (height + GAP) + height / 2, end: true }));
    }
  }
  const words = maps.map(({ view }) => `${plainName(view)}: ${aspects[view] ?? "no answer"}`).join("; ");
  return withColours(
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${total.width} ${total.height}" width="${total.width}" height="${total.height}" ` +
      `font-family="system-ui, sans-serif" font-size="13"><title>Where each aspect looks in ${escapeXml(id)}</title>` +
      `<desc>${escapeXml(words)}</desc><defs>${base}</defs>${parts.join("")}</svg>`,
  );
}

async function pngOf(webp: string): Promise<string> {
  const { default: sharp } = await import("sharp");
  return new Uint8Array(await sharp(Uint8Array.fromBase64(webp)).png().toBuffer()).toBase64();
}

async function overlay(map: HeatmapInput, place: { x: number; y: number; width: number; height: number }): Promise<string> {
  const { x, y, width, height } = place;
  const png = await heatmapPng(map, { width: 2 * width, height: 2 * height });
  return `<image x="${x}" y="${y}" width="${width}" height="${height}" href="data:image/png;base64,${png.toBase64()}"/>`;
}

function text(content: string, place: { x: number; y: number; bold?: boolean; end?: boolean }): string {
  const { x, y, bold, end } = place;
  const style = `${bold ? ' font-weight="600"' : ""}${end ? ' text-anchor="end"' : ""}`;
  return `<text x="${x}" y="${y}" fill="var(--ink)"${style}>${escapeXml(content)}</text>`;
}

function below(lines: readonly string[], { x, y }: { x: number; y: number }): string[] {
  return lines.map((line, i) => text(line, { x, y: y + 17 * (i + 1) }));
}

/** Two lines at most, of what fits below a tile. */
function wrapped(content: string): string[] {
  const most = 21;
  if (content.length <= most) return [content];
  const space = content.lastIndexOf(" ", most);
  const cut = space > 0 ? space : most;
  const rest = content.slice(cut).trim();
  return [content.slice(0, cut), rest.length > most ? `${rest.slice(0, most - 1)}…` : rest];
}
