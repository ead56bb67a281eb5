/**
 * WGSL of the matrix products. Text is generated because the tiles have to be unrolled by hand: compilers keep the sums in registers only
 * then. Letters: M rows of activations, N columns of the result, K the summed dimension.
 *
 * Two forms, with activations `a` (M, K) and the result `y` (M, N), both row-major:
 * - `rows`: w is (N, K); y = a · wᵀ (the forward product of a linear layer)
 * - `columns`: w is (K, N); y = a · w (the gradient with respect to its input)
 */
import type { WeightType } from "./matrix.ts";
import { storageWgsl } from "./storage_wgsl.ts";

/** Which way the weights lie. */
export type Form = "rows" | "columns";

/** What is added to the product before it is written. */
export interface Epilogue {
  /** A bias (N). */
  bias: boolean;
  /** A tensor (M, N), for a residual connection. */
  residual: boolean;
  /** Adds to what `y` holds instead of writing it. */
  accumulate: boolean;
}

/** Source of a product's kernel; the label tells kernels apart in profiles. */
export interface ProductWgsl {
  /** Name. */
  readonly label: string;
  /** WGSL. */
  readonly code: string;
  /** Rows of y that one workgroup writes. */
  readonly tileRows: number;
  /** Columns of y that one workgroup writes. */
  readonly tileColumns: number;
}

const range = (n: number): number[] => Array.from({ length: n }, (_, i) => i);
const lines = (n: number, line: (i: number) => string): string => range(n).map(line).join("\n");

/** Bindings, and `store`, which writes a sum with the epilogue; weights and activations in vectors of four, or one by one when `scalar`. */
export function header(dtype: WeightType, epilogue: Epilogue, options: { scalar?: boolean; activations?: string } = {}): string {
  const { scalar = false, activations = scalar ? "f32" : "vec4<f32>" } = options;
  const storage = storageWgsl(dtype);
  return `
struct Params { rows: u32, columns: u32, depth: u32, row_stride: u32, first_column: u32 }
@group(0) @binding(0) var<storage, read> a: array<${activations}>;
@group(0) @binding(1) var<storage, read> w: array<${scalar ? storage.word : storage.four}>;
@group(0) @binding(2) var<storage, read_write> y: array<f32>;
@group(0) @binding(3) var<uniform> params: Params;
${epilogue.bias ? "@group(0) @binding(4) var<storage, read> bias: array<f32>;" : ""}
${epilogue.residual ? "@group(0) @binding(5) var<storage, read> residual: array<f32>;" : ""}
${storage.scales ? "@group(0) @binding(6) var<storage, read> scales: array<u32>;" : ""}
${scalar ? storage.scalar : storage.functions}
// row and column of y; the columns of this block of weights begin at first_column
fn store(row: u32, column: u32, value: f32) {
  if (row >= params.rows || column >= params.columns) { return; }
  let at = row * params.row_stride + params.first_column + column;
  var sum = value;
  ${epilogue.bias ? "sum += bias[params.first_column + column];" : ""}
  ${epilogue.residual ? "sum += residual[at];" : ""}
  ${epilogue.accumulate ? "sum += y[at];" : ""}
  y[at] = sum;
}
`;
}

function name(form: Form, kind: string, dtype: WeightType): string {
  return `linear ${form} ${kind} ${dtype}`;
}

/**
 * For software adapters with 8 lanes to a subgroup: the lanes lie along the columns, activations are read once by eight lanes (a row each)
 * and handed round by `subgroupBroadcast`, since a load costs such an adapter far more than a multiplication. No barriers.
 *
 * @param tile rows/8 and columns/8 (`rows` form) or columns/32 (`columns` form) of one workgroup of 8 invocations
 */
export function subgroupProduct(form: Form, options: { dtype: WeightType; epilogue: Epilogue; tile: [number, number] }): ProductWgsl {
  const { dtype, epilogue, tile: [rowGroups, columnGroups] } = options;
  const { read4, stride } = storageWgsl(dtype);
  const rows = 8 * rowGroups;
  const zero = form === "rows" ? "0.0" : "vec4<f32>(0.0)";
  const sums = lines(rows, (i) => lines(columnGroups, (j) => `var c${i}_${j} = ${zero};`));
  const loadA = lines(rowGroups, (r) => `let a${r} = a[base${r} + k];`);
  const body = form === "rows"
    ? `${loadA}
${lines(columnGroups, (j) => `let w${j} = ${read4(`row${j} + k`)};`)}
${
      lines(rows, (i) =>
        `let b${i} = subgroupBroadcast(a${i >> 3}, ${i & 7}u);\n` +
        lines(columnGroups, (j) => `c${i}_${j} += dot(b${i}, w${j});`))
    }`
    : `${loadA}
${
      lines(4, (s) =>
        lines(columnGroups, (j) =>
          `let w${j}_${s} = ${read4(`(4u * k + ${s}u) * (${stride("params.columns")} / 4u) + column${j}`)};`) +
        "\n" +
        lines(rows, (i) =>
          `let b${i}_${s} = vec4<f32>(subgroupBroadcast(a${i >> 3}.${"xyzw"[s]}, ${i & 7}u));\n` +
          lines(columnGroups, (j) => `c${i}_${j} = fma(b${i}_${s}, w${j}_${s}, c${i}_${j});`)))
    }`;
  const columns = form === "rows"
    ? lines(
      columnGroups,
      (j) =>
        `let n${j} = group.x * ${8 * columnGroups}u + ${8 * j}u + lane;\nlet row${j} = min(n${j}, params.columns - 1u) * (${
          stride("params.depth")
        } / 4u);`,
    )
    : lines(
      columnGroups,
      (j) => `let n${j} = group.x * ${8 * columnGroups}u + ${8 * j}u + lane;\nlet column${j} = min(n${j}, params.columns / 4u - 1u);`,
    );
  const stores = form === "rows"
    ? lines(
      rows,
      (i) => lines(columnGroups, (j) => `store(first_row + ${i}u, n${j}, c${i}_${j});`),
    )
    : lines(
      rows,
      (i) => lines(columnGroups, (j) => lines(4, (s) => `store(first_row + ${i}u, 4u * n${j} + ${s}u, c${i}_${j}.${"xyzw"[s]});`)),
    );
  return {
    label: name(form, "subgroup", dtype),
    tileRows: rows,
    tileColumns: 8 * columnGroups * (form === "rows" ? 1 : 4),
    code: `${header(dtype, epilogue)}
@compute @workgroup_size(8)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  let first_row = group.y * ${rows}u;
${lines(rowGroups, (r) => `let base${r} = min(first_row + ${8 * r}u + lane, params.rows - 1u) * (params.depth / 4u);`)}
${columns}
${sums}
  for (var k = 0u; k < params.depth / 4u; k++) {
${body}
  }
${stores}
}`,
  };
}

/** A tile of 64 × 64 in workgroup memory, 16 deep, 4 × 4 sums an invocation: for GPUs. Depth and columns are multiples of 4. */
export function tiledProduct(form: Form, options: { dtype: WeightType; epilogue: Epilogue }): ProductWgsl {
  const { dtype, epilogue } = options;
  const { read4, stride } = storageWgsl(dtype);
  const loadW = form === "rows"
    ? `let wn = group.x * 64u + thread / 4u;
      let wk = k + 4u * (thread % 4u);
      var wv = vec4<f32>(0.0);
      if (wn < params.columns && wk < params.depth) { wv = ${read4(`(wn * ${stride("params.depth")} + wk) / 4u`)}; }
${lines(4, (s) => `tile_w[(4u * (thread % 4u) + ${s}u) * 16u + thread / 16u][(thread / 4u) % 4u] = wv.${"xyzw"[s]};`)}`
    : `let wk = k + thread / 16u;
      let wn = group.x * 64u + 4u * (thread % 16u);
      var wv = vec4<f32>(0.0);
      if (wn < params.columns && wk < params.depth) { wv = ${read4(`(wk * ${stride("params.columns")} + wn) / 4u`)}; }
      tile_w[thread] = wv;`;
  return {
    label: name(form, "tiled", dtype),
    tileRows: 64,
    tileColumns: 64,
    code: `${header(dtype, epilogue)}
var<workgroup> tile_a: array<vec4<f32>, 256>; // [k][row / 4]
var<workgroup> tile_w: array<vec4<f32>, 256>; // [k][column / 4]
@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
  let tx = thread % 16u;
  let ty = thread / 16u;
  let am = group.y * 64u + thread / 4u;
${lines(4, (i) => `var c${i} = vec4<f32>(0.0);`)}
  for (var k = 0u; k < params.depth; k += 16u) {
      let ak = k + 4u * (thread % 4u);
      var av = vec4<f32>(0.0);
      if (am < params.rows && ak < params.depth) { av = a[(am * params.depth + ak) / 4u]; }
      workgroupBarrier();
${lines(4, (s) => `tile_a[(4u * (thread % 4u) + ${s}u) * 16u + thread / 16u][(thread / 4u) % 4u] = av.${"xyzw"[s]};`)}
      ${loadW}
      workgroupBarrier();
${
      lines(16, (s) =>
        `{ let va = tile_a[${16 * s}u + ty]; let vw = tile_w[${16 * s}u + tx]; ` +
        range(4).map((i) => `c${i} = fma(vec4<f32>(va.${"xyzw"[i]}), vw, c${i});`).join(" ") + " }")
    }
  }
${lines(4, (i) => lines(4, (j) => `store(group.y * 64u + 4u * ty + ${i}u, group.x * 64u + 4u * tx + ${j}u, c${i}.${"xyzw"[j]});`))}
}`,
  };
}

/** Few rows (decoding one token): an invocation sums all rows of `a` for some columns. `rows` form only; depth a multiple of 4. */
export function vectorProduct(options: { dtype: WeightType; epilogue: Epilogue; rows: number; software: boolean }): ProductWgsl {
  const { dtype, epilogue, rows, software } = options;
  const { read4, stride } = storageWgsl(dtype);
  const columns = 4;
  const threads = software ? 1 : 64;
  const sums = lines(rows, (i) => lines(columns, (j) => `var c${i}_${j} = 0.0;`));
  const body = `${lines(rows, (i) => `let a${i} = a[${i}u * (params.depth / 4u) + k];`)}
${lines(columns, (j) => `let w${j} = ${read4(`row${j} + k`)};`)}
${lines(rows, (i) => lines(columns, (j) => `c${i}_${j} += dot(a${i}, w${j});`))}`;
  const reduce = lines(rows, (i) =>
    `partial[thread] = vec4<f32>(${range(columns).map((j) => `c${i}_${j}`).join(", ")});
  workgroupBarrier();
  for (var half = 32u; half > 0u; half /= 2u) {
    if (thread < half) { partial[thread] += partial[thread + half]; }
    workgroupBarrier();
  }
  if (thread == 0u) { ${range(columns).map((j) => `store(${i}u, first + ${j}u, partial[0].${"xyzw"[j]});`).join(" ")} }
  workgroupBarrier();`);
  return {
    label: name("rows", `vector ${rows}`, dtype),
    tileRows: rows,
    tileColumns: software ? 8 * columns : columns,
    code: `${header(dtype, epilogue)}
${software ? "" : "var<workgroup> partial: array<vec4<f32>, 64>;"}
@compute @workgroup_size(${software ? 8 : threads})
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
  let first = (group.x + group.y * 65535u) * ${software ? 8 * columns : columns}u${software ? ` + thread * ${columns}u` : ""};
${lines(columns, (j) => `let row${j} = min(first + ${j}u, params.columns - 1u) * (${stride("params.depth")} / 4u);`)}
${sums}
  for (var k = ${software ? "0u" : "thread"}; k < params.depth / 4u; k += ${threads}u) {
${body}
  }
${software ? lines(rows, (i) => lines(columns, (j) => `store(${i}u, first + ${j}u, c${i}_${j});`)) : reduce}
}`,
  };
}

/** Any sizes and either form, an invocation to a sum: for sizes that are no multiple of four. */
export function plainProduct(form: Form, options: { dtype: WeightType; epilogue: Epilogue }): ProductWgsl {
  const { dtype, epilogue } = options;
  const { stride } = storageWgsl(dtype);
  const place = form === "rows" ? `id.x * ${stride("params.depth")} + k` : `k * ${stride("params.columns")} + id.x`;
  return {
    label: name(form, "plain", dtype),
    tileRows: 8,
    tileColumns: 8,
    code: `${header(dtype, epilogue, { scalar: true })}
@compute @workgroup_size(8, 8)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
  if (id.x >= params.columns || id.y >= params.rows) { return; }
  var sum = 0.0;
  for (var k = 0u; k < params.depth; k++) {
    sum = fma(a[id.y * params.depth + k], weight(${place}), sum);
  }
  store(id.y, id.x, sum);
}`,
  };
}
