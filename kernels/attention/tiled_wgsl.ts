/**
 * WGSL of attention for GPUs: a workgroup owns 64 rows of one head and walks over tiles of columns (FlashAttention-2, Dao 2023,
 * arXiv:2307.08691). Forward and dq have queries as rows and keys as columns; dk and dv the other way round. Two kinds of products:
 * - scores: tile (rows, columns) = a · bᵀ over the numbers of a head, 16 of them in workgroup memory at a time
 * - mix: sums (rows, headDim) += weights (rows, columns) · values (columns, headDim), 8 or 16 columns in workgroup memory at a time
 * A thread (ty, tx) holds `down` vec4s of rows, 4(ty + h · threads down)…, and `across` vec4s of columns, 4(tx + 16g)…, of a tile. Of the sums
 * it holds the same rows, whole vec4s tx, tx+16, … as long as there are 16 of them, and the rest as single columns tx, tx+16, ….
 */
import { OPERANDS_WGSL, range, repeat } from "./text.ts";

const XYZW = ["x", "y", "z", "w"];
/** Rows of a tile. */
export const TILE = 64;

/** How much of a tile a thread holds, in vec4s of rows and of columns. */
export interface TileCut {
  /** Of rows: 256 / down threads. */
  readonly down: 1 | 2;
  /** Of columns: 64 · across columns. */
  readonly across: 1 | 2;
}

/** 4 × 4 numbers of a thread, 64 columns: few registers, 24 KiB of workgroup memory. */
export const SMALL_CUT: TileCut = { down: 1, across: 1 };
/** 4 × 8 numbers of a thread, 128 columns: fewer reads for a multiplication, 28 KiB of workgroup memory. */
export const WIDE_CUT: TileCut = { down: 1, across: 2 };

/** Workgroup memory of a kernel, in bytes. */
export function tiledBytes({ down, across }: TileCut): number {
  return (256 * (1 + across) + 1024) * 16 + (16 / down + 1) * 8;
}

/** How a thread's part of the sums (rows, headDim) is cut. */
function cutSums(headDim: number): { vectors: number; quads: number; singles: number } {
  const vectors = headDim / 4;
  const quads = Math.floor(vectors / 16);
  return { vectors, quads, singles: Math.ceil((vectors - 16 * quads) / 4) };
}

/** Number of a thread's vec4 `h` of rows among those of the tile. */
const rowQuad = (h: number, { down }: TileCut): string => h ? `(ty + ${16 / down * h}u)` : "ty";
/** A text for each of a thread's columns, with the vec4 that it stands in. */
const columnsOf = ({ across }: TileCut, text: (s: number, quad: string) => string): string =>
  repeat(4 * across, (s) => text(s, s < 4 ? "tx" : "(tx + 16u)"));

/** A text for each of a thread's vec4s of rows. */
export const rowsOf = ({ down }: TileCut, text: (h: number) => string): string => repeat(down, text);
/** Number of column `s` of a thread in the tile. */
export const columnOf = (s: number): string => `4u * tx + ${64 * (s >> 2) + s % 4}u`;

/** Workgroup memory. */
export const tiledMemory = ({ down, across }: TileCut): string => `
var<workgroup> stage: array<vec4<f32>, ${256 * (1 + across)}>; // operands of a product
var<workgroup> tile: array<vec4<f32>, 1024>; // weights of 64 columns: [column][row / 4], swizzled by column / 4 against bank conflicts
var<workgroup> spans: array<vec2<u32>, ${16 / down}>;
var<workgroup> span: vec2<u32>;
// The union of the threads' spans, the same in all threads.
fn union_of(thread: u32, low: vec4<u32>, high: vec4<u32>) -> vec2<u32> {
  if (thread % 16u == 0u) {
    spans[thread / 16u] = vec2<u32>(min(min(low.x, low.y), min(low.z, low.w)), max(max(high.x, high.y), max(high.z, high.w)));
  }
  workgroupBarrier();
  if (thread == 0u) {
    var all = spans[0];
    for (var i = 1u; i < ${16 / down}u; i++) { all = vec2<u32>(min(all.x, spans[i].x), max(all.y, spans[i].y)); }
    span = all;
  }
  return workgroupUniformLoad(&span);
}`;

/** Beginning of `main`. Groups: x tiles of rows, the last first since causal attention gives it the most to do; y heads. */
export function tiledMain(total: string, cut: TileCut): string {
  return `@compute @workgroup_size(${256 / cut.down})
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
${
    rowsOf(cut, (h) =>
      `  let row${h} = vec4<u32>(first_row + 4u * ${rowQuad(h, cut)}) + vec4<u32>(0u, 1u, 2u, 3u); // this thread's
  let real${h} = row${h} < vec4<u32>(${total});
  let safe${h} = min(row${h}, vec4<u32>(${total} - 1u));`)
  }`;
}

/** Spans in `binding` of the thread's rows: `start0`… and `seen0`…, with the end cut to `limit`; and `name`, the union of all rows'. */
export function rowSpans(name: string, cut: TileCut, { binding, limit }: { binding: string; limit: string }): string {
  const of = (h: number, part: string) => `vec4<u32>(${XYZW.map((s) => `${binding}[safe${h}.${s}].${part}`).join(", ")})`;
  return `var low = vec4<u32>(0xffffffffu);
  var high = vec4<u32>(0u);
${
    rowsOf(cut, (h) =>
      `  let start${h} = ${of(h, "x")};
  let to${h} = min(${of(h, "y")}, vec4<u32>(${limit}));
  let seen${h} = select(vec4<u32>(0u), to${h} - start${h}, (to${h} > start${h}) & real${h});
  low = min(low, select(vec4<u32>(0xffffffffu), start${h}, seen${h} > vec4<u32>(0u)));
  high = max(high, select(vec4<u32>(0u), start${h} + seen${h}, seen${h} > vec4<u32>(0u)));`)
  }
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
 * Scores: declares `name<s>_<h>`, the thread's column s with its rows h. Threads read four rows each and write them transposed, as whole
 * vectors: two threads that write parts of one vector would race.
 */
export function scores(name: string, options: { headDim: number; cut: TileCut; a: TileRows; b: TileRows }): string {
  const { headDim, cut, a, b } = options;
  const { vectors } = cutSums(headDim);
  const quads = 16 * cut.across; // of columns
  const threads = 256 / cut.down;
  const blocks = 64 * (1 + cut.across); // of four rows and four numbers of a head
  const readRows = (i: number, { binding, place, start, last, factor }: TileRows, first: number) =>
    range(4).map((r) =>
      `r${i}_${r} = ${binding}[${place(`min(${start} + 4u * ((at - ${first}u) / 4u) + ${r}u, ${last})`)} + depth + part]${
        factor ? ` * ${factor}` : ""
      };`
    ).join("\n        ");
  const rounds = Math.ceil(blocks / threads);
  const each = (text: (i: number) => string) =>
    repeat(rounds, (i) => {
      const guard = (i + 1) * threads > blocks ? `if (at < ${blocks}u) ` : "";
      return `    { let at = thread + ${i * threads}u; let part = at % 4u;
    ${guard}{ ${text(i)} } }`;
    });
  // The next numbers are on their way while these are multiplied.
  const read = each((i) =>
    `if (depth + part < ${vectors}u) {
      if (at < 64u) {
        ${readRows(i, a, 0)}
      } else {
        ${readRows(i, b, 64)}
      }
    } else { ${range(4).map((r) => `r${i}_${r} = vec4<f32>(0.0);`).join(" ")} }`
  );
  return `${columnsOf(cut, (s) => rowsOf(cut, (h) => `var ${name}${s}_${h} = vec4<f32>(0.0);`))}
  {
  var depth = 0u;
${repeat(rounds, (i) => repeat(4, (r) => `  var r${i}_${r} = vec4<f32>(0.0);`))}
${read}
  while (depth < ${vectors}u) {
    workgroupBarrier();
${
    each((i) =>
      `let block = select(at - 64u, at, at < 64u) / 4u;
      let to = select(256u + part * ${4 * quads}u, part * 64u, at < 64u) + (block ^ part);
      let next = select(${quads}u, 16u, at < 64u);
${repeat(4, (s) => `stage[to + ${s}u * next] = vec4<f32>(${range(4).map((r) => `r${i}_${r}.${XYZW[s]}`).join(", ")});`)}`
    )
  }
    workgroupBarrier();
    depth += 4u;
    if (depth < ${vectors}u) {
${read}
    }
${
    repeat(16, (k) =>
      `    { ${range(cut.down).map((h) => `let a${h} = stage[${16 * k}u + (${rowQuad(h, cut)} ^ ${k >> 2}u)];`).join(" ")} ` +
      range(cut.across).map((g) => `let b${g} = stage[${256 + quads * k + 16 * g}u + (tx ^ ${k >> 2}u)];`).join(" ") +
      range(4 * cut.across).map((s) =>
        range(cut.down).map((h) => `${name}${s}_${h} = fma(a${h}, vec4<f32>(b${s >> 2}.${XYZW[s & 3]}), ${name}${s}_${h});`).join(" ")
      ).join(" ") + " }")
  }
  }
  }`;
}

/** Declares a thread's sums (rows, headDim). */
export function declareSums(name: string, headDim: number, { cut }: { cut: TileCut }): string {
  const { quads, singles } = cutSums(headDim);
  return repeat(quads, (j) => repeat(4 * cut.down, (i) => `var ${name}${i}_${j} = vec4<f32>(0.0);`)) + "\n" +
    repeat(singles, (m) => rowsOf(cut, (h) => `var ${name}s${m}_${h} = vec4<f32>(0.0);`));
}

/** Multiplies a thread's sums by a factor for each of its rows, `factor<h>`. */
export function scaleSums(name: string, headDim: number, { cut, factor }: { cut: TileCut; factor: string }): string {
  const { quads, singles } = cutSums(headDim);
  return repeat(quads, (j) => repeat(4 * cut.down, (i) => `${name}${i}_${j} *= ${factor}${i >> 2}.${XYZW[i & 3]};`)) + "\n" +
    repeat(singles, (m) => rowsOf(cut, (h) => `${name}s${m}_${h} *= ${factor}${h};`));
}

/** Values of {@linkcode mix}. */
export interface MixedValues {
  headDim: number;
  cut: TileCut;
  /** Weights `name<s>_<h>`, the thread's column s with its rows h. */
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
export function mix(name: string, { headDim, cut, weights, binding, place, start, end }: MixedValues): string {
  const { vectors, quads, singles } = cutSums(headDim);
  const depth = vectors <= 32 ? 16 : 8;
  const threads = 256 / cut.down;
  const total = depth * vectors;
  const rounds = Math.ceil(total / threads);
  const each = (text: (n: number) => string) =>
    repeat(
      rounds,
      (n) => `    { let i = thread + ${n * threads}u; ${(n + 1) * threads > total ? `if (i < ${total}u) ` : ""}{ ${text(n)} } }`,
    );
  // The next values are on their way while these are multiplied.
  const read = (g: number) =>
    each((n) =>
      `let of_row = ${start} + chunk + ${TILE * g}u + i / ${vectors}u;
      m${n} = vec4<f32>(0.0);
      if (of_row < ${end}) { m${n} = ${binding}[${place("of_row")} + i % ${vectors}u]; }`
    );
  return repeat(cut.across, (g) =>
    `${g ? "workgroupBarrier();" : ""}
${repeat(4, (s) => rowsOf(cut, (h) => `tile[(4u * tx + ${s}u) * 16u + (${rowQuad(h, cut)} ^ tx)] = ${weights}${4 * g + s}_${h};`))}
  {
  var chunk = 0u;
${repeat(rounds, (n) => `  var m${n} = vec4<f32>(0.0);`)}
${read(g)}
  while (chunk < ${TILE}u) {
    workgroupBarrier();
${each((n) => `stage[i] = m${n};`)}
    workgroupBarrier();
    let first_column = chunk;
    chunk += ${depth}u;
    if (chunk < ${TILE}u) {
${read(g)}
    }
${
      repeat(depth, (k) =>
        `    { let swizzle = first_column / 4u + ${k >> 2}u;\n` +
        range(cut.down).map((h) => `let p${h} = tile[(first_column + ${k}u) * 16u + (${rowQuad(h, cut)} ^ swizzle)];`).join(" ") + "\n" +
        repeat(quads, (j) =>
          `let b${j} = stage[${k * vectors + 16 * j}u + tx]; ` +
          range(4 * cut.down).map((i) => `${name}${i}_${j} = fma(vec4<f32>(p${i >> 2}.${XYZW[i & 3]}), b${j}, ${name}${i}_${j});`).join(
            " ",
          )) +
        repeat(singles, (m) =>
          `let c${m} = stage[${k * vectors + 16 * quads + 4 * m}u + tx / 4u][tx % 4u]; ` +
          range(cut.down).map((h) => `${name}s${m}_${h} = fma(p${h}, vec4<f32>(c${m}), ${name}s${m}_${h});`).join(" ")) +
        " }")
    }
  }
  }`);
}

/** Target of {@linkcode storeSums}. */
export interface SumsTarget {
  headDim: number;
  cut: TileCut;
  /** Binding of f32. */
  binding: string;
  /** A row's place in vec4s. */
  place: (row: string) => string;
  /** Factor of the rows h, a vec4. */
  factor: (h: number) => string;
}

/** Writes the sums of the real rows, times their factors. */
export function storeSums(name: string, { headDim, cut, binding, place, factor }: SumsTarget): string {
  const { quads, singles } = cutSums(headDim);
  return repeat(4 * cut.down, (i) => {
    const [h, part] = [i >> 2, XYZW[i & 3]];
    return `
  if (real${h}.${part}) {
    let at = 4u * (${place(`row${h}.${part}`)});
${
      repeat(quads, (j) =>
        range(4).map((s) =>
          `${binding}[at + ${64 * j + s}u + 4u * tx] = ${name}${i}_${j}.${XYZW[s]} * ${factor(h)}.${part};`
        ).join(" "))
    }
${
      repeat(singles, (m) =>
        `if (${64 * quads + 16 * m}u + tx < ${headDim}u) ` +
        `{ ${binding}[at + ${64 * quads + 16 * m}u + tx] = ${name}s${m}_${h}.${part} * ${factor(h)}.${part}; }`)
    }
  }`;
  });
}

/** Adds up, or takes the largest of, vec4s `value<h>` of each thread over the 16 threads of a row group; in all of them, in a fixed order. */
export function overColumns(value: string, cut: TileCut, { fold }: { fold: (a: string, b: string) => string }): string {
  const threads = 256 / cut.down;
  return `
    workgroupBarrier();
${rowsOf(cut, (h) => `stage[${h * threads}u + thread] = ${value}${h};`)}
    workgroupBarrier();
${
    rowsOf(cut, (h) => {
      const at = `${h * threads}u + 16u * ty`;
      return `${value}${h} = stage[${at}];
    for (var i = 1u; i < 16u; i++) { ${value}${h} = ${fold(`${value}${h}`, `stage[${at} + i]`)}; }`;
    })
  }`;
}

/** Forward: q, k, v, ranges → y and, where asked for, lse. Workgroups: tiles of rows, heads. */
export function tiledForward(headDim: number, options: { lse: boolean; cut: TileCut }): string {
  const { cut } = options;
  const vectors = headDim / 4;
  const columns = 4 * cut.across;
  const fold = (of: (s: number, h: number) => string, h: number, join: (a: string, b: string) => string): string =>
    range(columns).map((s) => of(s, h)).reduce((a, b) => join(a, b));
  return `${OPERANDS_WGSL}
@group(0) @binding(5) var<storage, read_write> y: array<f32>; // (rows, heads · headDim)
${options.lse ? "@group(0) @binding(6) var<storage, read_write> lse: array<f32>; // (rows, heads)" : ""}
${tiledMemory(cut)}
${tiledMain("params.rows", cut)}
  ${rowSpans("keys", cut, { binding: "ranges", limit: "params.keys" })}
  let scale = params.scale * LOG2E;
${
    rowsOf(cut, (h) =>
      `  var largest${h} = vec4<f32>(LOWEST);
  var sum${h} = vec4<f32>(0.0); // of this thread's columns`)
  }
${declareSums("y", headDim, { cut })}
  for (var first = keys.x; first < keys.y; first += ${TILE * cut.across}u) {
${
    scores("s", {
      headDim,
      cut,
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
${
    rowsOf(cut, (h) =>
      `    let here${h} = vec4<u32>(first + 4u * tx) - start${h}; // wraps below the range, and is then too large
${repeat(columns, (s) => `s${s}_${h} = select(vec4<f32>(LOWEST), s${s}_${h}, here${h} + ${64 * (s >> 2) + s % 4}u < seen${h});`)}
    var top${h} = ${fold((s, h) => `s${s}_${h}`, h, (a, b) => `max(${a}, ${b})`)};`)
  }
${overColumns("top", cut, { fold: (a, b) => `max(${a}, ${b})` })}
${
    rowsOf(cut, (h) =>
      `    top${h} = max(top${h}, largest${h});
    let fade${h} = exp2(largest${h} - top${h});
    largest${h} = top${h};
${
        repeat(columns, (s) =>
          `s${s}_${h} = select(vec4<f32>(0.0), exp2(s${s}_${h} - top${h}), here${h} + ${64 * (s >> 2) + s % 4}u < seen${h});`)
      }
    sum${h} = fma(sum${h}, fade${h}, ${
        fold((s, h) => `s${s}_${h}`, h, (a, b) =>
          `(${a} + ${b})`)
      });`)
  }
${scaleSums("y", headDim, { cut, factor: "fade" })}
${
    mix("y", {
      headDim,
      cut,
      weights: "s",
      binding: "v",
      place: (of) => `v_place(${of}) + kv_head * ${vectors}u`,
      start: "first",
      end: "keys.y",
    })
  }
  }
${overColumns("sum", cut, { fold: (a, b) => `${a} + ${b}` })}
${rowsOf(cut, (h) => `  let inverse${h} = select(vec4<f32>(0.0), 1.0 / sum${h}, sum${h} > vec4<f32>(0.0));`)}
${
    storeSums("y", {
      headDim,
      cut,
      binding: "y",
      place: (row) => `(${row} * params.heads + head) * ${vectors}u`,
      factor: (h) => `inverse${h}`,
    })
  }
${
    options.lse
      ? rowsOf(cut, (h) =>
        repeat(4, (i) => {
          const part = XYZW[i];
          return `if (tx == ${4 * h + i}u && real${h}.${part}) ` +
            `{ lse[row${h}.${part} * params.heads + head] = log_sum_exp(largest${h}.${part}, sum${h}.${part}); }`;
        }))
      : ""
  }
}`;
}
