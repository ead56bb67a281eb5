/**
 * WGSL of attention for GPUs, what forward and backward share: a workgroup owns 64 rows of one head and walks over tiles of columns
 * (FlashAttention-2, Dao 2023, arXiv:2307.08691). Forward and dq have queries as rows and keys as columns; dk and dv the other way round. Two
 * kinds of products:
 * - scores: tile (rows, columns) = a · bᵀ over the numbers of a head, 16 of them in workgroup memory at a time
 * - mix: sums (rows, headDim) += weights (rows, columns) · values (columns, headDim), 8 or 16 columns in workgroup memory at a time
 * A thread (ty, tx) of 256 holds rows 4ty … 4ty + 3 of a tile, as vec4s, and of each 64 columns 4tx … 4tx + 3. Of the sums it holds the same
 * rows, whole vec4s tx, tx+16, … as long as there are 16 of them, and the rest as single columns tx, tx+16, ….
 */
import { range, repeat, tilePlace } from "./text.ts";

/** Parts of a vec4. */
export const XYZW = ["x", "y", "z", "w"];
/** Rows of a tile, and columns of a small one. */
export const TILE = 64;
const THREADS = 256;

/** Columns of a tile: 64 need few registers and 24 KiB of workgroup memory, 128 fewer reads for a multiplication and 28 KiB. */
export type TileColumns = 64 | 128;

/** Workgroup memory of a kernel, in bytes. */
export function tiledBytes(columns: TileColumns): number {
  return (stageLines(columns) + 64) * LINE * 16 + 17 * 8;
}

/** A thread's columns. */
export const columnsOfThread = (columns: TileColumns): number => columns / 16;
/** Number in the tile of a thread's column `s`. */
export const columnOf = (s: number): string => `4u * tx + ${columnOffset(s)}u`;
/** The same, less 4tx. */
export const columnOffset = (s: number): number => 64 * (s >> 2) + s % 4;

/**
 * Vectors of a line of workgroup memory. The number of a line is a constant, or the same in all threads, nearly everywhere: what keeps a place inside its
 * array is then computed once, not for every place.
 */
const LINE = 16;
const stageLines = (columns: TileColumns): number => (TILE + columns) / 4;

/** How a thread's part of the sums (rows, headDim) is cut. */
function cutSums(headDim: number): { vectors: number; quads: number; singles: number } {
  const vectors = headDim / 4;
  const quads = Math.floor(vectors / 16);
  return { vectors, quads, singles: Math.ceil((vectors - 16 * quads) / 4) };
}

/** Workgroup memory. */
export const tiledMemory = (columns: TileColumns): string => `
var<workgroup> stage: array<array<vec4<f32>, ${LINE}>, ${stageLines(columns)}>; // operands of a product
var<workgroup> tile: array<array<vec4<f32>, ${LINE}>, 64>; // weights of 64 columns: [column][row / 4], swizzled by column / 4 against bank conflicts
var<workgroup> spans: array<vec2<u32>, 16>;
var<workgroup> span: vec2<u32>;
// The union of the threads' spans, the same in all threads.
fn union_of(thread: u32, low: vec4<u32>, high: vec4<u32>) -> vec2<u32> {
  if (thread % 16u == 0u) {
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

/** Beginning of `main`: `row`, the thread's rows, `real`, which of them there are, and `safe`, rows that there are. Groups: see `tilePlace`. */
export const tiledMain = (rows: "queries" | "keys", { causal }: { causal: boolean }): string => {
  const total = rows === "queries" ? "params.rows" : "params.keys";
  return `@compute @workgroup_size(${THREADS})
fn main(
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(num_workgroups) groups: vec3<u32>,
  @builtin(local_invocation_index) thread: u32,
) {
  let tx = thread % 16u;
  let ty = thread / 16u;
  ${tilePlace({ rows, tile: TILE, causal })}
  let row = vec4<u32>(first_row + 4u * ty) + vec4<u32>(0u, 1u, 2u, 3u);
  let real = row < vec4<u32>(${total});
  let safe = min(row, vec4<u32>(${total} - 1u));`;
};

/** Spans in `binding` of the thread's rows: `start` and `seen`, with the end cut to `limit`; and `name`, the union of all rows'. */
export function rowSpans(name: string, { binding, limit }: { binding: string; limit: string }): string {
  const of = (part: string) => `vec4<u32>(${XYZW.map((s) => `${binding}[safe.${s}].${part}`).join(", ")})`;
  return `let start = ${of("x")};
  let to = min(${of("y")}, vec4<u32>(${limit}));
  let seen = select(vec4<u32>(0u), to - start, (to > start) & real);
  let low = select(vec4<u32>(0xffffffffu), start, seen > vec4<u32>(0u));
  let high = select(vec4<u32>(0u), start + seen, seen > vec4<u32>(0u));
  let ${name} = union_of(thread, low, high);`;
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
 * Scores: declares `name<s>`, the thread's column s with its rows. Threads read four rows each and write them transposed, as whole vectors:
 * two threads that write parts of one vector would race.
 */
export function scores(name: string, options: { headDim: number; columns: TileColumns; a: TileRows; b: TileRows }): string {
  const { headDim, columns, a, b } = options;
  const { vectors } = cutSums(headDim);
  const lines = columns / 4 / LINE; // of b, to a number of the head; behind those of a
  const readRows = (i: number, { binding, place, start, last, factor }: TileRows, first: number) =>
    range(4).map((r) =>
      `r${i}_${r} = ${binding}[${place(`min(${start} + 4u * ((at - ${first}u) / 4u) + ${r}u, ${last})`)} + depth + part]${
        factor ? ` * ${factor}` : ""
      };`
    ).join("\n        ");
  const blocks = TILE + columns; // of four rows and four numbers of a head
  const rounds = Math.ceil(blocks / THREADS);
  const each = (text: (i: number) => string) =>
    repeat(rounds, (i) => {
      const guard = (i + 1) * THREADS > blocks ? `if (at < ${blocks}u) ` : "";
      return `    { let at = thread + ${i * THREADS}u; let part = at % 4u;
    ${guard}{ ${text(i)} } }`;
    });
  // The next numbers are on their way while these are multiplied.
  const read = each((i) =>
    `if (depth + part < ${vectors}u) {
      if (at < ${TILE}u) {
        ${readRows(i, a, 0)}
      } else {
        ${readRows(i, b, TILE)}
      }
    } else { ${range(4).map((r) => `r${i}_${r} = vec4<f32>(0.0);`).join(" ")} }`
  );
  return `${repeat(columnsOfThread(columns), (s) => `var ${name}${s} = vec4<f32>(0.0);`)}
  {
  var depth = 0u;
${repeat(rounds, (i) => repeat(4, (r) => `  var r${i}_${r} = vec4<f32>(0.0);`))}
${read}
  while (depth < ${vectors}u) {
    workgroupBarrier();
${
    each((i) =>
      `let to = (select(at - ${TILE}u, at, at < ${TILE}u) / 4u) ^ part;
      let line = select(${LINE}u + part * ${4 * lines}u + to / ${LINE}u, 4u * part, at < ${TILE}u);
      let next = select(${lines}u, 1u, at < ${TILE}u);
${
        repeat(
          4,
          (s) => `stage[line + ${s}u * next][to % ${LINE}u] = vec4<f32>(${range(4).map((r) => `r${i}_${r}.${XYZW[s]}`).join(", ")});`,
        )
      }`
    )
  }
    workgroupBarrier();
    depth += 4u;
    if (depth < ${vectors}u) {
${read}
    }
${
    repeat(16, (k) =>
      `    { let a = stage[${k}][ty ^ ${k >> 2}u]; ` +
      range(columns / TILE).map((g) => `let b${g} = stage[${LINE + lines * k + g}][tx ^ ${k >> 2}u];`).join(" ") +
      range(columnsOfThread(columns)).map((s) => `${name}${s} = fma(a, vec4<f32>(b${s >> 2}.${XYZW[s & 3]}), ${name}${s});`).join(" ") +
      " }")
  }
  }
  }`;
}

/** Declares a thread's sums (rows, headDim). */
export function declareSums(name: string, headDim: number): string {
  const { quads, singles } = cutSums(headDim);
  return repeat(quads, (j) => repeat(4, (i) => `var ${name}${i}_${j} = vec4<f32>(0.0);`)) + "\n" +
    repeat(singles, (m) => `var ${name}s${m} = vec4<f32>(0.0);`);
}

/** Multiplies a thread's sums by a factor for each of its rows, a vec4. */
export function scaleSums(name: string, headDim: number, { factor }: { factor: string }): string {
  const { quads, singles } = cutSums(headDim);
  return repeat(quads, (j) => repeat(4, (i) => `${name}${i}_${j} *= ${factor}.${XYZW[i]};`)) + "\n" +
    repeat(singles, (m) => `${name}s${m} *= ${factor};`);
}

/** Values of {@linkcode mix}. */
export interface MixedValues {
  headDim: number;
  columns: TileColumns;
  /** Weights `name<s>`, the thread's column s with its rows. */
  weights: string;
  /** Binding of vec4s. */
  binding: string;
  /** Place of the first vec4 of row number `of`. */
  place: (of: string) => string;
  /** Rows are read from here on. */
  start: string;
  /** From here on they count as zeros. */
  end: string;
}

/** Mix: adds weights · values to the sums. All threads must be done with the tile of before. */
export function mix(name: string, { headDim, columns, weights, binding, place, start, end }: MixedValues): string {
  const { vectors, quads, singles } = cutSums(headDim);
  const depth = vectors <= 32 ? 16 : 8;
  const lines = Math.ceil(vectors / LINE); // of a row of values
  const total = depth * vectors;
  const rounds = Math.ceil(total / THREADS);
  const each = (text: (n: number) => string) =>
    repeat(
      rounds,
      (n) => `    { let i = thread + ${n * THREADS}u; ${(n + 1) * THREADS > total ? `if (i < ${total}u) ` : ""}{ ${text(n)} } }`,
    );
  // The next values are on their way while these are multiplied.
  const read = (g: number) =>
    each((n) =>
      `let of_row = ${start} + chunk + ${TILE * g}u + i / ${vectors}u;
      m${n} = vec4<f32>(0.0);
      if (of_row < ${end}) { m${n} = ${binding}[${place("of_row")} + i % ${vectors}u]; }`
    );
  return repeat(columns / TILE, (g) =>
    `${g ? "workgroupBarrier();" : ""}
${repeat(4, (s) => `tile[4u * tx + ${s}u][ty ^ tx] = ${weights}${4 * g + s};`)}
  {
  var chunk = 0u;
${repeat(rounds, (n) => `  var m${n} = vec4<f32>(0.0);`)}
${read(g)}
  while (chunk < ${TILE}u) {
    workgroupBarrier();
${each((n) => `let of_vector = i % ${vectors}u; stage[i / ${vectors}u * ${lines}u + of_vector / ${LINE}u][of_vector % ${LINE}u] = m${n};`)}
    workgroupBarrier();
    let first_column = chunk;
    chunk += ${depth}u;
    if (chunk < ${TILE}u) {
${read(g)}
    }
${
      repeat(depth, (k) =>
        `    { let p = tile[first_column + ${k}u][ty ^ (first_column / 4u + ${k >> 2}u)];\n` +
        repeat(quads, (j) =>
          `let b${j} = stage[${k * lines + j}][tx]; ` +
          range(4).map((i) => `${name}${i}_${j} = fma(vec4<f32>(p.${XYZW[i]}), b${j}, ${name}${i}_${j});`).join(" ")) +
        repeat(
          singles,
          (m) => `${name}s${m} = fma(p, vec4<f32>(stage[${k * lines + quads}][${4 * m}u + tx / 4u][tx % 4u]), ${name}s${m});`,
        ) +
        " }")
    }
  }
  }`);
}

/** Target of {@linkcode storeSums}. */
export interface SumsTarget {
  headDim: number;
  /** Binding of f32. */
  binding: string;
  /** A row's place in vec4s. */
  place: (row: string) => string;
  /** Factor of the rows, a vec4. */
  factor: string;
}

/** Writes the sums of the real rows, times their factors. */
export function storeSums(name: string, { headDim, binding, place, factor }: SumsTarget): string {
  const { quads, singles } = cutSums(headDim);
  return repeat(4, (i) => {
    const part = XYZW[i];
    return `
  if (real.${part}) {
    let at = 4u * (${place(`row.${part}`)});
${
      repeat(quads, (j) =>
        range(4).map((s) => `${binding}[at + ${64 * j + s}u + 4u * tx] = ${name}${i}_${j}.${XYZW[s]} * ${factor}.${part};`).join(" "))
    }
${
      repeat(singles, (m) =>
        `if (${64 * quads + 16 * m}u + tx < ${headDim}u) ` +
        `{ ${binding}[at + ${64 * quads + 16 * m}u + tx] = ${name}s${m}.${part} * ${factor}.${part}; }`)
    }
  }`;
  });
}

/** Adds up, or takes the largest of, a vec4 of each thread over the 16 threads of a row group; in all of them, in a fixed order. */
export function overColumns(value: string, { fold }: { fold: (a: string, b: string) => string }): string {
  return `
    workgroupBarrier();
    stage[ty][tx] = ${value};
    workgroupBarrier();
    ${value} = stage[ty][0];
    for (var i = 1u; i < 16u; i++) { ${value} = ${fold(value, "stage[ty][i]")}; }`;
}
