/**
 * Attention maps in bytes: for the run folder and the report. A weight becomes a whole number from 0 to 255, the query's highest being 255, and
 * grids of more than 24 rows or columns are pooled, so that a picture's maps take some kilobytes whatever its size.
 */
import type { AttentionMap } from "../aspects/attention_maps.ts";

/** Rows and columns of a kept map at most. */
const MOST = 24;

/** A view's maps in bytes. */
export interface PackedMap {
  /** Rows of the grid. */
  rows: number;
  /** Columns of the grid. */
  columns: number;
  /** Highest weight of each query: what 255 stands for. */
  peaks: number[];
  /** Base64 of n × rows × columns bytes, query by query, row by row. */
  weights: string;
}

/**
 * Packs a map.
 *
 * @example
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { packMap, unpackMap } from "./attention_file.ts";
 *
 * const query = Float32Array.of(0.5, 0, 0.25, 0.25);
 * const map = { view: "scene", rows: 2, columns: 2, queries: [query], mean: query };
 * const { rows, columns, queries } = unpackMap("scene", packMap(map));
 * assertEquals([rows, columns, queries[0][0], queries[0][1]], [2, 2, 0.5, 0]);
 * ```
 */
export function packMap(map: AttentionMap): PackedMap {
  const [rows, columns] = [Math.min(map.rows, MOST), Math.min(map.columns, MOST)];
  const cells = rows * columns;
  const bytes = new Uint8Array(map.queries.length * cells);
  const peaks = map.queries.map((query, q) => {
    const pooled = pool(query, { from: map, rows, columns });
    const peak = pooled.reduce((a, b) => Math.max(a, b), 0);
    pooled.forEach((weight, i) => bytes[q * cells + i] = peak > 0 ? Math.round(255 * weight / peak) : 0);
    return Number(peak.toPrecision(4));
  });
  return { rows, columns, peaks, weights: bytes.toBase64() };
}

/** The map of packed bytes; weights are accurate to 1/510 of their query's highest. */
export function unpackMap(view: string, packed: PackedMap): AttentionMap {
  const { rows, columns, peaks, weights } = packed;
  const bytes = Uint8Array.fromBase64(weights);
  const cells = rows * columns;
  const queries = peaks.map((peak, q) => Float32Array.from(bytes.subarray(q * cells, (q + 1) * cells), (level) => level / 255 * peak));
  const mean = new Float32Array(cells).map((_, i) => queries.reduce((sum, query) => sum + query[i], 0) / Math.max(queries.length, 1));
  return { view, rows, columns, queries, mean };
}

/** Adds weights up in a coarser grid; a cell that lies in two goes to both by its part in them. */
function pool(weights: Float32Array, grid: { from: { rows: number; columns: number }; rows: number; columns: number }): Float64Array {
  const { from, rows, columns } = grid;
  const result = new Float64Array(rows * columns);
  const down = parts(from.rows, rows);
  const across = parts(from.columns, columns);
  for (const [y, ty, shareY] of down) {
    for (const [x, tx, shareX] of across) result[ty * columns + tx] += weights[y * from.columns + x] * shareY * shareX;
  }
  return result;
}

/** Which part of each of `count` cells lies in which of `target` cells. */
function parts(count: number, target: number): [cell: number, target: number, share: number][] {
  const result: [number, number, number][] = [];
  for (let i = 0; i < count; i++) {
    const [begin, end] = [i * target / count, (i + 1) * target / count];
    for (let t = Math.floor(begin); t < Math.min(target, Math.ceil(end - 1e-9)); t++) {
      const share = (Math.min(end, t + 1) - Math.max(begin, t)) / (end - begin);
      if (share > 1e-9) result.push([i, t, share]);
    }
  }
  return result;
}
