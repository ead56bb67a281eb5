/**
 * WGSL of the matrix products. Text is generated because the tiles have to be unrolled by hand: compilers keep the sums in registers only
 * then. Letters: M rows of activations, N columns of the result, K the summed dimension.
 *
 * Two forms, with activations `a` (M, K) and the result `y` (M, N), both row-major:
 * - `rows`: w is (N, K); y = a · wᵀ (the forward product of a linear layer)
 * - `columns`: w is (K, N); y = a · w (the gradient with respect to its input)
 */
import { storageWgsl, type WideReading } from "./storage_wgsl.ts";
import { GROUP, type WeightType } from "./weight_types.ts";

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

/** Nothing is added. */
export const NO_EPILOGUE: Epilogue = { bias: false, residual: false, accumulate: false };

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

/** The result `y`, what is added to it, the parameters, and `store`, which writes a sum with the epilogue. */
export function output(epilogue: Epilogue): string {
  return `
struct Params { rows: u32, columns: u32, depth: u32, row_stride: u32, first_column: u32 }
@group(0) @binding(2) var<storage, read_write> y: array<f32>;
@group(0) @binding(3) var<uniform> params: Params;
${epilogue.bias ? "@group(0) @binding(4) var<storage, read> bias: array<f32>;" : ""}
${epilogue.residual ? "@group(0) @binding(5) var<storage, read> residual: array<f32>;" : ""}
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

/** All bindings, and `store`; weights and activations in vectors of four, or one by one when `scalar`; quantised weights in the widest loads. */
export function header(
  dtype: WeightType,
  epilogue: Epilogue,
  options: { scalar?: boolean; wide?: boolean; activations?: string; weights?: string } = {},
): string {
  const { scalar = false, activations = scalar ? "f32" : "vec4<f32>" } = options;
  const storage = storageWgsl(dtype);
  const wide = options.wide ? storage.wide : undefined;
  return `${output(epilogue)}
@group(0) @binding(0) var<storage, read> a: array<${activations}>;
@group(0) @binding(1) var<storage, read> w: array<${options.weights ?? (wide ? "vec4<u32>" : scalar ? storage.word : storage.four)}>;
${storage.scales ? "@group(0) @binding(6) var<storage, read> scales: array<u32>;" : ""}
${wide?.functions ?? (scalar ? storage.scalar : storage.functions)}
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

/** Rows up to which each row's parts are added in a tree of its own: more of them wait for each other too often. */
const ROWS_OF_A_TREE = 4;

/** Adds what 64 invocations summed, `ci_0` … `ci_3` for row i, one row after the other. */
function sumByTree(rows: number): string {
  return lines(rows, (i) =>
    `partial[thread] = vec4<f32>(${range(4).map((j) => `c${i}_${j}`).join(", ")});
  workgroupBarrier();
  for (var half = 32u; half > 0u; half /= 2u) {
    if (thread < half) { partial[thread] += partial[thread + half]; }
    workgroupBarrier();
  }
  if (thread == 0u) { ${range(4).map((j) => `store(${i}u, first + ${j}u, partial[0].${"xyzw"[j]});`).join(" ")} }
  workgroupBarrier();`);
}

/** The same for all rows behind one barrier, an invocation to a sum; each row begins elsewhere, so that neighbours read from different banks. */
function sumAtOnce(rows: number): string {
  return `${lines(rows, (i) => `partial[${64 * i}u + thread] = vec4<f32>(${range(4).map((j) => `c${i}_${j}`).join(", ")});`)}
  workgroupBarrier();
  if (thread < ${4 * rows}u) {
    let row = thread / 4u;
    var sum = vec4<f32>();
    for (var i = 0u; i < 64u; i += 4u) {
      sum += vec4<f32>(${range(4).map((k) => `partial[64u * row + ((i + ${k}u + row) & 63u)][thread % 4u]`).join(", ")});
    }
    store(row, first + thread % 4u, (sum.x + sum.y) + (sum.z + sum.w));
  }`;
}

/**
 * Few rows (decoding one token): an invocation sums all rows of `a` for some columns, so that weights are read once. `rows` form only, 16 rows
 * at most; depth a multiple of 4.
 */
export function vectorProduct(options: { dtype: WeightType; epilogue: Epilogue; rows: number; software: boolean }): ProductWgsl {
  const { dtype, epilogue, rows, software } = options;
  const { read4, stride, wide } = storageWgsl(dtype);
  const columns = 4;
  const threads = software ? 1 : 64;
  const sums = lines(rows, (i) => lines(columns, (j) => `var c${i}_${j} = 0.0;`));
  const body = wide ? wideVectorBody({ rows, columns, wide }) : `${lines(rows, (i) => `let a${i} = a[${i}u * (params.depth / 4u) + k];`)}
${lines(columns, (j) => `let w${j} = ${read4(`row${j} + k`)};`)}
${lines(rows, (i) => lines(columns, (j) => `c${i}_${j} += dot(a${i}, w${j});`))}`;
  const load = wide ? 4 * wide.fours : 4; // weights
  const steps = wide ? `(params.depth + ${load - 1}u) / ${load}u` : "params.depth / 4u";
  const reduce = rows > ROWS_OF_A_TREE ? sumAtOnce(rows) : sumByTree(rows);
  return {
    label: name("rows", `vector ${rows}`, dtype),
    tileRows: rows,
    tileColumns: software ? 8 * columns : columns,
    code: `${header(dtype, epilogue, { wide: true })}
${software ? "" : `var<workgroup> partial: array<vec4<f32>, ${rows > ROWS_OF_A_TREE ? threads * rows : threads}>;`}
@compute @workgroup_size(${software ? 8 : threads})
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
  let first = (group.x + group.y * 65535u) * ${software ? 8 * columns : columns}u${software ? ` + thread * ${columns}u` : ""};
${lines(columns, (j) => `let row${j} = min(first + ${j}u, params.columns - 1u) * (${stride("params.depth")} / ${load}u);`)}
${sums}
  for (var k = ${software ? "0u" : "thread"}; k < ${steps}; k += ${threads}u) {
${body}
  }
${software ? lines(rows, (i) => lines(columns, (j) => `store(${i}u, first + ${j}u, c${i}_${j});`)) : reduce}
}`,
  };
}

/**
 * A step of the vector product over quantised weights: one load of each column's levels, whose scale is applied to the sum over them. Levels
 * behind a row's end are 0: what is read of `a` there does not matter.
 */
function wideVectorBody(options: { rows: number; columns: number; wide: WideReading }): string {
  const { rows, columns, wide } = options;
  const each = (line: (i: number, j: number) => string) => lines(rows, (i) => lines(columns, (j) => line(i, j)));
  return `${lines(columns, (j) => `let q${j} = w[row${j} + k];\nlet s${j} = scale_at((row${j} + k) / ${GROUP / 4 / wide.fours}u);`)}
${each((i, j) => `var t${i}_${j} = 0.0;`)}
${
    lines(wide.fours, (f) =>
      `{ let at = min(k * ${wide.fours}u + ${f}u, params.depth / 4u - 1u);
${lines(columns, (j) => `let w${j} = ${wide.levels(`q${j}`, f)};`)}
${lines(rows, (i) => `let a${i} = a[${i}u * (params.depth / 4u) + at];`)}
${each((i, j) => `t${i}_${j} += dot(a${i}, w${j});`)} }`)
  }
${each((i, j) => `c${i}_${j} = fma(s${j}, t${i}_${j}, c${i}_${j});`)}`;
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
