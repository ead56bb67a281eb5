/**
 * WGSL of rows of f32 as f16, each times the power of two that brings its largest number to [2^peak, 2^(peak + 1)), and what undoes it. A workgroup
 * owns a row and holds all of it in registers, so that it is read once, also where its numbers depend on statistics of the row (norms).
 */
import type { ComputedRows } from "./computed_rows.ts";
import storedRowsCode from "./stored_rows.wgsl" with { type: "text" };

type RowSource = Pick<ComputedRows, "code" | "parts" | "statistics">;

/** Options of {@linkcode halfRowsWgsl}. */
export interface HalfRowsOptions {
  /** Invocations of a workgroup, a multiple of 16. */
  threads: number;
  /** Fours of each part of a row that an invocation holds; what is beyond so many for each is read again. */
  held: number;
  /** See above. */
  peak: number;
  /** Where rows come from; a binding `x` when left out. */
  source?: RowSource;
}

/** Numbers of a workgroup that are left for all invocations to look at. */
const LAST = 16;

/** Rows that lie in memory. */
const STORED: RowSource = { parts: 1, code: storedRowsCode };

const lines = (n: number, line: (i: number) => string): string => Array.from({ length: n }, (_, i) => line(i)).join("\n");

/** Rows (rows, 4 · quads) → y (rows, 4 · padded), filled up with zeros, and row_scales (rows). A workgroup for each row, folded into x and y. */
export function halfRowsWgsl({ threads, held, peak, source = STORED }: HalfRowsOptions): string {
  const { parts, statistics } = source;
  const place = (i: number) => `local + ${i * threads}u`;
  const beyond = (text: string) => `for (var quad = ${place(held)}; quad < of_part; quad += ${threads}u) { ${text} }`;
  const numbers = (row: string, quad: string) =>
    statistics ? `array<vec4<f32>, 1>(finish(compute(${row}, ${quad})[0], ${quad}, mean, squares))` : `compute(${row}, ${quad})`;
  const eachPart = (text: (p: number) => string) => Array.from({ length: parts }, (_, p) => text(p)).join(" ");
  const write = (at: string, value: string) => eachPart((p) => `y[of_y + ${p}u * of_part + ${at}] = vec4<f16>(${value}[${p}] * scale);`);
  return `enable f16;
struct Params {
  rows: u32,
  quads: u32, // of a row, four numbers each
  padded: u32, // quads of a row of y
}
${source.code}
@group(0) @binding(1) var<storage, read_write> y: array<vec4<f16>>;
@group(0) @binding(2) var<storage, read_write> row_scales: array<f32>;
@group(0) @binding(3) var<uniform> params: Params;
var<workgroup> peaks: array<f32, ${threads}>;
var<workgroup> largest: array<f32, ${LAST}>;
${statistics ? total(threads) : ""}

@compute @workgroup_size(${threads})
fn main(
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(num_workgroups) groups: vec3<u32>,
  @builtin(local_invocation_index) local: u32,
) {
  let row = group.y * groups.x + group.x;
  let of_row = min(row, params.rows - 1u);
  let of_part = params.quads / ${parts}u;
  var peak = vec4<f32>(0.0);
${lines(held, (i) => `var v${i} = array<vec4<f32>, ${parts}>(); if (${place(i)} < of_part) { v${i} = compute(of_row, ${place(i)}); }`)}
${statistics ? findStatistics({ statistics, held, place, beyond }) : ""}
${lines(held, (i) => eachPart((p) => `peak = max(peak, abs(v${i}[${p}]));`))}
  ${beyond(`let v = ${numbers("of_row", "quad")}; ${eachPart((p) => `peak = max(peak, abs(v[${p}]));`)}`)}
  peaks[local] = max(max(peak.x, peak.y), max(peak.z, peak.w));
  workgroupBarrier();
  if (local < ${LAST}u) {
    var most = 0.0;
${lines(threads / LAST, (i) => `    most = max(most, peaks[local + ${i * LAST}u]);`)}
    largest[local] = most;
  }
  workgroupBarrier();
  if (row >= params.rows) { return; }
  var most = 0.0;
${lines(LAST, (i) => `  most = max(most, largest[${i}]);`)}
  // exponents as they stand in a float, 127 too large; both factors stay normal numbers
  let exponent = i32(bitcast<u32>(most) >> 23u);
  let up = u32(clamp(${254 + peak} - exponent, 1, 253));
  let scale = bitcast<f32>(up << 23u);
  let of_y = row * params.padded;
${lines(held, (i) => `if (${place(i)} < of_part) { ${write(place(i), `v${i}`)} }`)}
  ${beyond(`let v = ${numbers("row", "quad")}; ${write("quad", "v")}`)}
  for (var quad = params.quads + local; quad < params.padded; quad += ${threads}u) { y[of_y + quad] = vec4<f16>(); }
  if (local == 0u) { row_scales[row] = bitcast<f32>((254u - up) << 23u); }
}`;
}

/** The sum of everybody's parts. */
const total = (threads: number): string => `
fn total(part: vec4<f32>, local: u32) -> f32 {
  workgroupBarrier(); // nobody reads the last one any more
  peaks[local] = (part.x + part.y) + (part.z + part.w);
  workgroupBarrier();
  if (local < ${LAST}u) {
    var sum = 0.0;
${lines(threads / LAST, (i) => `    sum += peaks[local + ${i * LAST}u];`)}
    largest[local] = sum;
  }
  workgroupBarrier();
  var sum = 0.0;
${lines(LAST, (i) => `  sum += largest[${i}];`)}
  return sum;
}`;

/** Statistics of the row, and then its numbers. */
function findStatistics({ statistics, held, place, beyond }: {
  statistics: "squares" | "variance";
  held: number;
  place: (i: number) => string;
  beyond: (text: string) => string;
}): string {
  const count = "f32(4u * params.quads)";
  const mean = `var sum = vec4<f32>();
${lines(held, (i) => `sum += v${i}[0];`)}
  ${beyond("sum += compute(of_row, quad)[0];")}
  let mean = total(sum, local) / ${count};`;
  return `  ${statistics === "variance" ? mean : "let mean = 0.0;"}
  var off = vec4<f32>();
${lines(held, (i) => `if (${place(i)} < of_part) { let d = v${i}[0] - mean; off = fma(d, d, off); }`)}
  ${beyond("let d = compute(of_row, quad)[0] - mean; off = fma(d, d, off);")}
  let squares = total(off, local) / ${count};
${lines(held, (i) => `if (${place(i)} < of_part) { v${i}[0] = finish(v${i}[0], ${place(i)}, mean, squares); }`)}`;
}
