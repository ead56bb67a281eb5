/** An attention map as a picture that is laid over the one it belongs to. */
import { MaspError } from "../errors.ts";
import { colourTable } from "./colour_scale.ts";

/** A map to draw. */
export interface HeatmapInput {
  /** Rows of the grid. */
  rows: number;
  /** Columns of the grid. */
  columns: number;
  /** (rows, columns): weights, 0 or more. */
  weights: Float32Array;
}

/** Options of {@linkcode heatmapPng}. */
export interface HeatmapOptions {
  /** Pixels across; as many as make 16 a column when left out. */
  width?: number;
  /** Pixels down; as many as keep the cells square when left out. */
  height?: number;
  /** Weight that has the last colour of the scale; the map's highest when left out. Give the same to maps that are to be compared. */
  peak?: number;
  /** Factor on the opacity; 1 when left out. */
  opacity?: number;
}

/**
 * A map as a PNG from transparent (no weight) to yellow (the highest), enlarged with the bicubic kernel.
 *
 * @param map the weights
 * @param options size and scale
 * @returns the PNG's bytes: width × height, 8 bits for red, green, blue and opacity
 * @throws {MaspError} when the weights are not as many as rows × columns
 */
export async function heatmapPng(map: HeatmapInput, options: HeatmapOptions = {}): Promise<Uint8Array> {
  const pixels = await heatmapPixels(map, options);
  const { default: sharp } = await import("sharp");
  const { width, height } = pixels;
  return new Uint8Array(await sharp(pixels.data, { raw: { width, height, channels: 4 } }).png({ compressionLevel: 9 }).toBuffer());
}

/** {@linkcode heatmapPng}'s pixels: (height, width, 4). */
export async function heatmapPixels(
  map: HeatmapInput,
  options: HeatmapOptions = {},
): Promise<{ data: Uint8Array; width: number; height: number }> {
  const { rows, columns, weights } = map;
  if (weights.length !== rows * columns || weights.length === 0) {
    throw new MaspError(`Cannot draw an attention map: it has ${weights.length} weights; expected ${rows} × ${columns}`);
  }
  const width = options.width ?? 16 * columns;
  const height = options.height ?? Math.max(1, Math.round(width * rows / columns));
  const peak = options.peak ?? weights.reduce((a, b) => Math.max(a, b), 0);
  const levels = Uint8Array.from(weights, (weight) => peak > 0 ? Math.round(255 * Math.min(1, weight / peak)) : 0);
  const { default: sharp } = await import("sharp");
  const enlarged = await sharp(levels, { raw: { width: columns, height: rows, channels: 1 } })
    .resize(width, height, { kernel: "cubic", fit: "fill" }).toColourspace("b-w").raw().toBuffer();
  const table = colourTable({ opacity: options.opacity });
  const data = new Uint8Array(width * height * 4);
  enlarged.forEach((level, i) => data.set(table.subarray(4 * level, 4 * level + 4), 4 * i));
  return { data, width, height };
}
