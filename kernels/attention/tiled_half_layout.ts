/** Sizes of attention in f16 tiles, and how these lie in workgroup memory: see `tiled_half_wgsl.ts`. */
import { paddedHead } from "./half_heads.ts";

/** Rows of a workgroup. */
export const HALF_ROWS = 128;
/** Keys of a tile. */
export const HALF_KEYS = 64;
/** Numbers of a head, and keys, that are in workgroup memory at a time. */
export const DEPTH = 16;
/** The longest head for which a thread has registers. */
export const LONGEST_HEAD = 96;
const PARTS = "xyzw";

/** How a thread's columns are cut: whole vectors, and whether a pair is left. */
export function cutColumns(headDim: number): { vectors: number; quads: number; pair: boolean } {
  const vectors = paddedHead(headDim) / 4;
  return { vectors, quads: Math.floor(vectors / 8), pair: vectors % 8 > 0 };
}

/**
 * Vectors of a line of workgroup memory. The number of a line is a constant, or the same in all threads: what keeps a place inside its array is then
 * computed once, not for every place.
 */
export const LINE = 16;
/** Lines of a number of the queries, at the beginning of `stage`. */
export const QUERY_LINES = HALF_ROWS / 4 / LINE;
/** The first line of the keys, behind the queries. */
export const KEYS_AT = DEPTH * QUERY_LINES;

/** Bytes of workgroup memory. */
export function tiledHalfBytes(headDim: number): number {
  return 8 * LINE * (stageLines(headDim) + HALF_KEYS * QUERY_LINES) + 32;
}

/** Lines of `stage`. */
export function stageLines(headDim: number): number {
  return Math.max(KEYS_AT + DEPTH * linesOf(HALF_KEYS / 4), DEPTH * linesOf(cutColumns(headDim).vectors));
}

/** Lines of so many vectors. */
export const linesOf = (vectors: number): number => Math.ceil(vectors / LINE);

/** Writes `value`, vector number `vector` of what begins with line `line`; expressions. */
export const put = (line: string, vector: string, value: string): string =>
  `stage[${line} + ${vector} / ${LINE}u][${vector} % ${LINE}u] = ${value};`;

/** Reads into `name` a thread's vector number `at + tx` of what begins with line `line`. */
export const read = (name: string, line: number, at: number): string => `let ${name} = stage[${line + (at >> 4)}][${at % LINE}u + tx];`;

/** Number n of a vector that was read, four times. */
export const times4 = (name: string, n: number): string => `vec4<f16>(${name}.${PARTS[n]})`;

/** Reads a pair of numbers, of vector number `at + tx / 2` the first or, in odd threads, the second two. */
export const readPair = (name: string, line: number, at: number): string =>
  `let ${name}_four = stage[${line + (at >> 4)}][${at % LINE}u + tx / 2u]; let ${name} = select(${name}_four.xy, ${name}_four.zw, odd);`;
