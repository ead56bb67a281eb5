/**
 * WGSL of y = a · wᵀ for few rows (decoding a token), which is bound by reading weights: an invocation sums all rows of `a` for four columns of y, so
 * that weights are read once. Rows that are normed by their squares are normed on the way: their factor is that of the whole sum.
 * Letters and forms as in `product_wgsl.ts`; the form `rows` only, depth a multiple of 4.
 */
import type { ComputedRows } from "./computed_rows.ts";
import { type Epilogue, header, productName, type ProductWgsl } from "./product_wgsl.ts";
import { storageWgsl, type WideReading } from "./storage_wgsl.ts";
import { GROUP, isQuantized, type WeightType } from "./weight_types.ts";

/** Columns of y that an invocation, or a workgroup that shares them, computes. */
const COLUMNS = 4;
/** Invocations of a workgroup of a software adapter, which share nothing. */
const SOFTWARE_THREADS = 8;
/** Rows up to which each row's parts are added by themselves, by subgroups or in a tree: for more of them that is too much to hand round. */
const FEW_ROWS = 4;

/** Invocations that share the sums of a workgroup; more than 64 where subgroups add them. */
export type VectorThreads = 64 | 128 | 256;
/** All of them. */
export const VECTOR_THREADS: readonly VectorThreads[] = [64, 128, 256];

/** Invocations that read from memory at its full speed on a large GPU. */
const BUSY = 200_000;

/** A product's sizes, as far as the choice of a workgroup looks at them. */
export interface VectorShape {
  /** M */
  rows: number;
  /** N */
  columns: number;
  /** K */
  depth: number;
  /** Number type of the weights. */
  dtype: WeightType;
}

const range = (n: number): number[] => Array.from({ length: n }, (_, i) => i);
const lines = (n: number, line: (i: number) => string): string => range(n).map(line).join("\n");
const part = (i: number): string => "xyzw"[i];

/** How weights are read in loads of 16 bytes, if rows are such that they can be. */
function wideReading(dtype: WeightType, depth: number): WideReading | undefined {
  const { wide } = storageWgsl(dtype);
  return isQuantized(dtype) || depth % 8 === 0 ? wide : undefined; // rows of quantised weights are filled up
}

/** The smallest workgroup with which a large GPU is busy, each invocation having two loads of every column at least; 64 where rows are many. */
export function vectorThreads({ rows, columns, depth, dtype }: VectorShape, { lanes }: { lanes: number }): VectorThreads {
  if (rows > FEW_ROWS) return 64;
  const loads = depth / 4 / (wideReading(dtype, depth)?.fours ?? 1);
  const workgroups = Math.ceil(columns / COLUMNS);
  const fits = (threads: VectorThreads) => lanes > 0 && 2 * threads <= loads && workgroups * threads / 2 < BUSY;
  return VECTOR_THREADS.findLast(fits) ?? 64;
}

/** Whether {@linkcode vectorProduct} computes such rows itself. */
export function vectorComputes({ rows, source, lanes }: { rows: number; source: ComputedRows; lanes: number }): boolean {
  return source.statistics === "squares" && rows <= FEW_ROWS && lanes > 0 && lanes <= VECTOR_THREADS[0];
}

/** Options of {@linkcode vectorProduct}. */
export interface VectorProductOptions {
  /** Number type of the weights. */
  dtype: WeightType;
  /** What is added. */
  epilogue: Epilogue;
  /** M, 16 at most. */
  rows: number;
  /** K */
  depth: number;
  /** Invocations of a workgroup, or `software`: every one has columns of its own. */
  threads: VectorThreads | "software";
  /** Lanes of a subgroup, which then adds its sums itself; 0 where that is unknown, and `threads` 64. */
  lanes: number;
  /** What rows are computed from, if not read from `a`; see {@linkcode vectorComputes}. */
  source?: ComputedRows;
}

/** The product's kernel; workgroup number x + 65535 · y. */
export function vectorProduct({ dtype, epilogue, rows, depth, threads, lanes, source }: VectorProductOptions): ProductWgsl {
  const software = threads === "software";
  const together = software ? 1 : threads; // invocations that share columns
  const { read4, stride } = storageWgsl(dtype);
  const wide = wideReading(dtype, depth);
  const load = wide ? 4 * wide.fours : 4; // weights
  const bySubgroups = !software && lanes > 0 && lanes <= threads && (rows <= FEW_ROWS || threads > 64);
  const reduce = software
    ? { memory: "", text: each(rows, (i, j) => `store(${i}u, first + ${j}u, c${i}_${j});`) }
    : bySubgroups
    ? sumBySubgroups(rows, threads / lanes, source !== undefined)
    : rows > FEW_ROWS
    ? sumAtOnce(rows, threads)
    : sumByTree(rows, threads);
  const four = (at: string, place = at) =>
    lines(rows, (i) => source ? normedFour(i, at, place) : `let a${i} = a[${i}u * (params.depth / 4u) + ${at}];`);
  const body = wide ? wideBody({ rows, wide, four, quantized: isQuantized(dtype) }) : `${four("k")}
${lines(COLUMNS, (j) => `let w${j} = ${read4(`row${j} + k`)};`)}
${each(rows, (i, j) => `c${i}_${j} += dot(a${i}, w${j});`)}`;
  const columns = software ? SOFTWARE_THREADS * COLUMNS : COLUMNS;
  return {
    label: productName(
      "rows",
      `vector ${rows}${software || threads === 64 ? "" : ` by ${threads}`}${source ? ` of ${source.label}` : ""}`,
      dtype,
    ),
    tileRows: rows,
    tileColumns: columns,
    code: `${header(dtype, epilogue, { wide: wide !== undefined, source: source?.code })}
${reduce.memory}
@compute @workgroup_size(${software ? SOFTWARE_THREADS : threads})
fn main(
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(local_invocation_index) thread: u32,
  ${bySubgroups ? "@builtin(subgroup_id) subgroup: u32,\n  @builtin(subgroup_invocation_id) lane: u32," : ""}
) {
  let first = (group.x + group.y * 65535u) * ${columns}u${software ? ` + thread * ${COLUMNS}u` : ""};
${lines(COLUMNS, (j) => `let row${j} = min(first + ${j}u, params.columns - 1u) * (${stride("params.depth")} / ${load}u);`)}
${each(rows, (i, j) => `var c${i}_${j} = 0.0;`)}
${source ? lines(rows, (i) => `var squares${i} = 0.0;`) : ""}
  for (var k = ${software ? "0u" : "thread"}; k < (params.depth + ${load - 1}u) / ${load}u; k += ${together}u) {
${body}
  }
${reduce.text}
}`,
  };
}

/** A statement for every sum. */
function each(rows: number, line: (i: number, j: number) => string): string {
  return lines(rows, (i) => lines(COLUMNS, (j) => line(i, j)));
}

/** Four numbers of a row that is normed, less the row's factor, which the sums get; no squares of those that are read for a place behind its end. */
function normedFour(row: number, at: string, place: string): string {
  const square = `dot(x${row}, x${row})`;
  return `let x${row} = compute(${row}u, ${at})[0]; let a${row} = weighed(x${row}, ${at});
squares${row} += ${place === at ? square : `select(0.0, ${square}, ${place} < params.depth / 4u)`};`;
}

/**
 * A step over one load of each column's weights. The scale of quantised ones is applied to the sum over their levels; levels behind a row's end are
 * 0: what is read of `a` there does not matter.
 */
function wideBody({ rows, wide, four, quantized }: {
  rows: number;
  wide: WideReading;
  four: (at: string, place?: string) => string;
  quantized: boolean;
}): string {
  const sum = quantized ? "t" : "c";
  return `${lines(COLUMNS, (j) => `let q${j} = w[row${j} + k];`)}
${quantized ? lines(COLUMNS, (j) => `let s${j} = scale_at((row${j} + k) / ${GROUP / 4 / wide.fours}u);`) : ""}
${quantized ? each(rows, (i, j) => `var t${i}_${j} = 0.0;`) : ""}
${
    lines(wide.fours, (f) =>
      `{ let place = k * ${wide.fours}u + ${f}u; ${quantized ? "let at = min(place, params.depth / 4u - 1u);" : ""}
${lines(COLUMNS, (j) => `let w${j} = ${wide.four(`q${j}`, f)};`)}
${quantized ? four("at", "place") : four("place")}
${each(rows, (i, j) => `${sum}${i}_${j} += dot(a${i}, w${j});`)} }`)
  }
${quantized ? each(rows, (i, j) => `c${i}_${j} = fma(s${j}, t${i}_${j}, c${i}_${j});`) : ""}`;
}

/** How the sums of a workgroup's invocations, `ci_0` … `ci_3` for row i, are added and stored. */
interface Reduction {
  /** Workgroup memory. */
  memory: string;
  /** Statements. */
  text: string;
}

const sums = (i: number): string => `vec4<f32>(${range(COLUMNS).map((j) => `c${i}_${j}`).join(", ")})`;

/** Subgroups add their own, and an invocation to a sum those of all; those of a normed row get its factor. */
function sumBySubgroups(rows: number, subgroups: number, normed: boolean): Reduction {
  return {
    memory: `var<workgroup> partial: array<vec4<f32>, ${rows * subgroups}>;
${normed ? `var<workgroup> partial_squares: array<f32, ${rows * subgroups}>;` : ""}`,
    text: `${lines(rows, (i) => `let s${i} = subgroupAdd(${sums(i)});`)}
${normed ? lines(rows, (i) => `let all_squares${i} = subgroupAdd(squares${i});`) : ""}
  if (lane == 0u) {
${lines(rows, (i) => `partial[${i * subgroups}u + subgroup] = s${i};`)}
${normed ? lines(rows, (i) => `partial_squares[${i * subgroups}u + subgroup] = all_squares${i};`) : ""}
  }
  workgroupBarrier();
  if (thread < ${COLUMNS * rows}u) {
    let at = thread / ${COLUMNS}u * ${subgroups}u;
    var sum = 0.0;
${lines(subgroups, (n) => `sum += partial[at + ${n}u][thread % ${COLUMNS}u];`)}
${
      normed
        ? `var squares = 0.0;
${lines(subgroups, (n) => `squares += partial_squares[at + ${n}u];`)}
sum *= row_factor(squares / f32(params.depth));`
        : ""
    }
    store(thread / ${COLUMNS}u, first + thread % ${COLUMNS}u, sum);
  }`,
  };
}

/** One row after the other, in a tree. */
function sumByTree(rows: number, threads: VectorThreads): Reduction {
  return {
    memory: `var<workgroup> partial: array<vec4<f32>, ${threads}>;`,
    text: lines(rows, (i) =>
      `partial[thread] = ${sums(i)};
  workgroupBarrier();
  for (var half = ${threads / 2}u; half > 0u; half /= 2u) {
    if (thread < half) { partial[thread] += partial[thread + half]; }
    workgroupBarrier();
  }
  if (thread == 0u) { ${range(COLUMNS).map((j) => `store(${i}u, first + ${j}u, partial[0].${part(j)});`).join(" ")} }
  workgroupBarrier();`),
  };
}

/** All rows behind one barrier, an invocation to a sum; each row begins elsewhere, so that neighbours read from different banks. */
function sumAtOnce(rows: number, threads: VectorThreads): Reduction {
  return {
    memory: `var<workgroup> partial: array<vec4<f32>, ${threads * rows}>;`,
    text: `${lines(rows, (i) => `partial[${threads * i}u + thread] = ${sums(i)};`)}
  workgroupBarrier();
  if (thread < ${COLUMNS * rows}u) {
    let row = thread / ${COLUMNS}u;
    var sum = vec4<f32>();
    for (var i = 0u; i < ${threads}u; i += 4u) {
      sum += vec4<f32>(${
      range(4).map((k) => `partial[${threads}u * row + ((i + ${k}u + row) & ${threads - 1}u)][thread % ${COLUMNS}u]`).join(", ")
    });
    }
    store(row, first + thread % ${COLUMNS}u, (sum.x + sum.y) + (sum.z + sum.w));
  }`,
  };
}
