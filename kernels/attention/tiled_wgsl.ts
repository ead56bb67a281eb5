/**
 * WGSL of attention for GPUs: a workgroup of 256 owns 64 rows of one head and walks over tiles of 64 columns (FlashAttention-2, Dao 2023,
 * arXiv:2307.08691). Forward and dq have queries as rows and keys as columns; dk and dv the other way round. Two kinds of products:
 * - scores: tile (rows, columns) = a · bᵀ over the numbers of a head, 16 of them in workgroup memory at a time
 * - mix: sums (rows, headDim) += weights (rows, columns) · values (columns, headDim), 8 or 16 columns in workgroup memory at a time
 * A thread (ty, tx) holds rows 4ty… and columns 4tx… of a tile, and of the sums rows 4ty…, whole vec4s tx, tx+16, … as long as there are
 * 16 of them, and the rest as single columns tx, tx+16, …. 24 KiB of workgroup memory for every head size.
 */
import { OPERANDS_WGSL, range, repeat } from "./text.ts";

const XYZW = ["x", "y", "z", "w"];
/** Rows, and columns, of a tile. */
export const TILE = 64;
/** Workgroup memory of a kernel, in bytes. */
export const TILED_BYTES: number = (512 + 1024) * 16 + 17 * 8;

/** How a thread's part of the sums (rows, headDim) is cut. */
function cut(headDim: number): { vectors: number; quads: number; singles: number } {
  const vectors = headDim / 4;
  const quads = Math.floor(vectors / 16);
  return { vectors, quads, singles: Math.ceil((vectors - 16 * quads) / 4) };
}

/** Workgroup memory, and the threads' places. */
export const TILED_WGSL = `
var<workgroup> stage: array<vec4<f32>, 512>; // operands of a product
var<workgroup> tile: array<vec4<f32>, 1024>; // weights: [column][row / 4], swizzled by column / 4 against bank conflicts
var<workgroup> spans: array<vec2<u32>, 16>;
var<workgroup> span: vec2<u32>;
// The union of the rows' spans [start, start + seen), the same in all threads.
fn union_of(thread: u32, start: vec4<u32>, seen: vec4<u32>) -> vec2<u32> {
  if (thread % 16u == 0u) {
    let low = select(vec4<u32>(0xffffffffu), start, seen > vec4<u32>(0u));
    let high = select(vec4<u32>(0u), start + seen, seen > vec4<u32>(0u));
    spans[thread / 16u] = vec2<u32>(min(min(low.x, low.y), min(low.z, low.w)), max(max(high.x, high.y), max(high.z, high.w)));
  }
  workgroupBarrier();
  if (thread == 0u) {
    var all = spans[0];
    for (var i = 1u; i < 16u; i++) { all = vec2<u32>(min(all.x, spans[i].x), max(all.y, spans[i].y)); }
    span = all;
  }
  return workgroupUniformLoad(&span);
}`;

/** Beginning of `main`. Groups: x tiles of rows, the last first since causal attention gives it the most to do; y heads. */
export function tiledMain(total: string): string {
  return `@compute @workgroup_size(256)
fn main(
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(num_workgroups) groups: vec3<u32>,
  @builtin(local_invocation_index) thread: u32,
) {
  let tx = thread % 16u;
  let ty = thread / 16u;
  let head = group.y;
  let kv_head = head / (params.heads / params.kv_heads);
  let first_row = (groups.x - 1u - group.x) * ${TILE}u;
  let row = vec4<u32>(first_row + 4u * ty) + vec4<u32>(0u, 1u, 2u, 3u); // this thread's
  let real = row < vec4<u32>(${total});
  let safe = min(row, vec4<u32>(${total} - 1u));`;
}

/** Key ranges of the thread's four rows of `binding`: `start` and `seen`, with the end cut to `limit`. */
export function rowSpans(binding: string, limit: string): string {
  return `let start = vec4<u32>(${XYZW.map((s) => `${binding}[safe.${s}].x`).join(", ")});
  let to = min(vec4<u32>(${XYZW.map((s) => `${binding}[safe.${s}].y`).join(", ")}), vec4<u32>(${limit}));
  let seen = select(vec4<u32>(0u), to - start, (to > start) & real);`;
}

/** Rows of a binding that make a tile: numbers `start` … `last`. */
export interface TileRows {
  /** Binding of vec4s. */
  binding: string;
  /** Place of the first vec4 of row number `of`. */
  place: (of: string) => string;
  /** Number of the tile's first row. */
  start: string;
  /** Number of the last row there is, which is read in place of those behind it. */
  last: string;
  /** What the values are multiplied by. */
  factor?: string;
}

/**
 * Scores: declares `name0` … `name3`, the columns 4tx … 4tx+3 of the tile, each with the thread's four rows. The first 128 threads read
 * four rows each and write them transposed, as whole vectors: two threads that write parts of one vector would race.
 */
export function scores(name: string, headDim: number, { a, b }: { a: TileRows; b: TileRows }): string {
  const { vectors } = cut(headDim);
  const read = ({ binding, place, start, last, factor }: TileRows) =>
    range(4).map((i) =>
      `r${i} = ${binding}[${place(`min(${start} + 4u * block + ${i}u, ${last})`)} + depth + part]${factor ? ` * ${factor}` : ""};`
    ).join("\n        ");
  return `${repeat(4, (s) => `var ${name}${s} = vec4<f32>(0.0);`)}
  for (var depth = 0u; depth < ${vectors}u; depth += 4u) {
    let part = thread % 4u;
    let block = thread % 64u / 4u; // of four rows
${repeat(4, (i) => `var r${i} = vec4<f32>(0.0);`)}
    if (depth + part < ${vectors}u) {
      if (thread < 64u) {
        ${read(a)}
      } else if (thread < 128u) {
        ${read(b)}
      }
    }
    workgroupBarrier();
    if (thread < 128u) {
      let at = thread / 64u * 256u + part * 64u + (block ^ part);
${repeat(4, (s) => `stage[at + ${16 * s}u] = vec4<f32>(${range(4).map((i) => `r${i}.${XYZW[s]}`).join(", ")});`)}
    }
    workgroupBarrier();
${
    repeat(16, (k) =>
      `    { let a = stage[${16 * k}u + (ty ^ ${k >> 2}u)]; let b = stage[${256 + 16 * k}u + (tx ^ ${k >> 2}u)]; ` +
      range(4).map((s) => `${name}${s} = fma(a, vec4<f32>(b.${XYZW[s]}), ${name}${s});`).join(" ") + " }")
  }
  }`;
}

/** Writes weights `name0` … `name3` to the tile. */
export const storeTile = (name: string): string => repeat(4, (s) => `tile[(4u * tx + ${s}u) * 16u + (ty ^ tx)] = ${name}${s};`);

/** Declares a thread's sums (rows, headDim). */
export function declareSums(name: string, headDim: number): string {
  const { quads, singles } = cut(headDim);
  return repeat(quads, (j) => repeat(4, (i) => `var ${name}${i}_${j} = vec4<f32>(0.0);`)) + "\n" +
    repeat(singles, (m) => `var ${name}s${m} = vec4<f32>(0.0);`);
}

/** Multiplies a thread's sums by a factor for each of its rows. */
export function scaleSums(name: string, headDim: number, { factor }: { factor: string }): string {
  const { quads, singles } = cut(headDim);
  return repeat(quads, (j) => repeat(4, (i) => `${name}${i}_${j} *= ${factor}.${XYZW[i]};`)) + "\n" +
    repeat(singles, (m) => `${name}s${m} *= ${factor};`);
}

/**
 * Mix: adds tile · values to the sums. Begins with a barrier, so the tile may have been written right before.
 *
 * @param values binding, and place of row number `of`; rows are read from `start` on, and count as zeros from `end` on
 */
export function mix(
  name: string,
  headDim: number,
  values: { binding: string; place: (of: string) => string; start: string; end: string },
): string {
  const { vectors, quads, singles } = cut(headDim);
  const depth = vectors <= 32 ? 16 : 8;
  return `for (var chunk = 0u; chunk < ${TILE}u; chunk += ${depth}u) {
    workgroupBarrier();
    for (var i = thread; i < ${depth * vectors}u; i += 256u) {
      let of_row = ${values.start} + chunk + i / ${vectors}u;
      stage[i] = vec4<f32>(0.0);
      if (of_row < ${values.end}) { stage[i] = ${values.binding}[${values.place("of_row")} + i % ${vectors}u]; }
    }
    workgroupBarrier();
${
    repeat(depth, (k) =>
      `    { let p = tile[(chunk + ${k}u) * 16u + (ty ^ (chunk / 4u + ${k >> 2}u))];\n` +
      repeat(quads, (j) =>
        `let b${j} = stage[${k * vectors + 16 * j}u + tx]; ` +
        range(4).map((i) => `${name}${i}_${j} = fma(vec4<f32>(p.${XYZW[i]}), b${j}, ${name}${i}_${j});`).join(" ")) +
      repeat(singles, (m) =>
        `let c${m} = stage[${k * vectors + 16 * quads + 4 * m}u + tx / 4u][tx % 4u]; ` +
        `${name}s${m} = fma(p, vec4<f32>(c${m}), ${name}s${m});`) +
      " }")
  }
  }`;
}

/** Writes the sums of the real rows, times `factor.x` … for each row, to a binding of f32. `place` gives a row's vec4 place. */
export function storeSums(
  name: string,
  headDim: number,
  target: { binding: string; place: (row: string) => string; factor: string },
): string {
  const { quads, singles } = cut(headDim);
  return repeat(4, (i) => `
  if (real.${XYZW[i]}) {
    let at = 4u * (${target.place(`row.${XYZW[i]}`)});
${
    repeat(quads, (j) =>
      range(4).map((s) =>
        `${target.binding}[at + ${64 * j + s}u + 4u * tx] = ${name}${i}_${j}.${XYZW[s]} * ${target.factor}.${XYZW[i]};`
      ).join(" "))
  }
${
    repeat(singles, (m) =>
      `if (${64 * quads + 16 * m}u + tx < ${headDim}u) ` +
      `{ ${target.binding}[at + ${64 * quads + 16 * m}u + tx] = ${name}s${m}.${XYZW[i]} * ${target.factor}.${XYZW[i]}; }`)
  }
  }`);
}

/** Adds up, or takes the largest of, a vec4 per thread over the 16 threads of a row group; in all of them, in a fixed order. */
export const overColumns = (value: string, fold: (a: string, b: string) => string): string => `
    workgroupBarrier();
    stage[thread] = ${value};
    workgroupBarrier();
    ${value} = stage[16u * ty];
    for (var i = 1u; i < 16u; i++) { ${value} = ${fold(value, "stage[16u * ty + i]")}; }`;

/** Forward: q, k, v, ranges → y and, where asked for, lse. Workgroups: tiles of rows, heads. */
export function tiledForward(headDim: number, options: { lse: boolean }): string {
  const vectors = headDim / 4;
  return `${OPERANDS_WGSL}
@group(0) @binding(5) var<storage, read_write> y: array<f32>; // (rows, heads · headDim)
${options.lse ? "@group(0) @binding(6) var<storage, read_write> lse: array<f32>; // (rows, heads)" : ""}
${TILED_WGSL}
${tiledMain("params.rows")}
  ${rowSpans("ranges", "params.keys")}
  let keys = union_of(thread, start, seen);
  let scale = params.scale * LOG2E;
  var largest = vec4<f32>(LOWEST);
  var sum = vec4<f32>(0.0); // of this thread's columns
${declareSums("y", headDim)}
  for (var first = keys.x; first < keys.y; first += ${TILE}u) {
${
    scores("s", headDim, {
      a: {
        binding: "q",
        place: (of) => `q_place(${of}) + head * ${vectors}u`,
        start: "first_row",
        last: "params.rows - 1u",
        factor: "scale",
      },
      b: { binding: "k", place: (of) => `k_place(${of}) + kv_head * ${vectors}u`, start: "first", last: "keys.y - 1u" },
    })
  }
    let here = vec4<u32>(first + 4u * tx) - start; // wraps below the range, and is then too large
${repeat(4, (s) => `let is${s} = here + ${s}u < seen; s${s} = select(vec4<f32>(LOWEST), s${s}, is${s});`)}
    var top = max(max(s0, s1), max(s2, s3));
${overColumns("top", (a, b) => `max(${a}, ${b})`)}
    top = max(top, largest);
    let fade = exp2(largest - top);
    largest = top;
${repeat(4, (s) => `s${s} = select(vec4<f32>(0.0), exp2(s${s} - top), is${s});`)}
    sum = fma(sum, fade, (s0 + s1) + (s2 + s3));
${storeTile("s")}
${scaleSums("y", headDim, { factor: "fade" })}
${mix("y", headDim, { binding: "v", place: (of) => `v_place(${of}) + kv_head * ${vectors}u`, start: "first", end: "keys.y" })}
  }
${overColumns("sum", (a, b) => `${a} + ${b}`)}
  let inverse = select(vec4<f32>(0.0), 1.0 / sum, sum > vec4<f32>(0.0));
${storeSums("y", headDim, { binding: "y", place: (row) => `(${row} * params.heads + head) * ${vectors}u`, factor: "inverse" })}
${
    options.lse
      ? repeat(4, (i) =>
        `if (tx == ${i}u && real.${XYZW[i]}) { lse[row.${XYZW[i]} * params.heads + head] = log_sum_exp(largest.${XYZW[i]}, sum.${
          XYZW[i]
        }); }`)
      : ""
  }
}`;
}
