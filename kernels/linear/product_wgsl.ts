/**
 * WGSL of the matrix products. Text is generated because the tiles have to be unrolled by hand: compilers keep the sums in registers only
 * then. Letters: M rows of activations, N columns of the result, K the summed dimension.
 *
 * Two forms, with activations `a` (M, K) and the result `y` (M, N), both row-major:
 * - `rows`: w is (N, K); y = a · wᵀ (the forward product of a linear layer)
 * - `columns`: w is (K, N); y = a · w (the gradient with respect to its input)
 */
import { type Activation, ACTIVATIONS } from "../gelu/gelu.ts";
import { storageWgsl } from "./storage_wgsl.ts";
import type { WeightType } from "./weight_types.ts";

/** Which way the weights lie. */
export type Form = "rows" | "columns";

/** What is done with the product before it is written. */
export interface Epilogue {
  /** Adds a bias (N). */
  bias: boolean;
  /** Then takes the activation of the sum. */
  activation?: Activation;
  /** Adds a tensor (M, N), for a residual connection. */
  residual: boolean;
  /** Adds to what `y` holds instead of writing it. */
  accumulate: boolean;
}

/** Nothing is done. */
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
export function output(epilogue: Epilogue, options: { quads?: boolean } = {}): string {
  return `
struct Params { rows: u32, columns: u32, depth: u32, row_stride: u32, first_column: u32${options.quads ? ", quads: u32" : ""} }
@group(0) @binding(2) var<storage, read_write> y: array<f32>;
@group(0) @binding(3) var<uniform> params: Params;
${epilogue.bias ? "@group(0) @binding(4) var<storage, read> bias: array<f32>;" : ""}
${epilogue.residual ? "@group(0) @binding(5) var<storage, read> residual: array<f32>;" : ""}
${epilogue.activation ? ACTIVATIONS[epilogue.activation] : ""}
// row and column of y; the columns of this block of weights begin at first_column
fn store(row: u32, column: u32, value: f32) {
  if (row >= params.rows || column >= params.columns) { return; }
  let at = row * params.row_stride + params.first_column + column;
  var sum = value;
  ${epilogue.bias ? "sum += bias[params.first_column + column];" : ""}
  ${epilogue.activation ? "sum = activation(sum);" : ""}
  ${epilogue.residual ? "sum += residual[at];" : ""}
  ${epilogue.accumulate ? "sum += y[at];" : ""}
  y[at] = sum;
}
`;
}

/**
 * All bindings, and `store`; weights and activations in vectors of four, one by one when `scalar`, or weights in loads of 16 bytes when `wide`;
 * activations from `source` where given, the text of `ComputedRows`.
 */
export function header(
  dtype: WeightType,
  epilogue: Epilogue,
  options: { scalar?: boolean; wide?: boolean; activations?: string; weights?: string; source?: string } = {},
): string {
  const { scalar = false, activations = scalar ? "f32" : "vec4<f32>" } = options;
  const storage = storageWgsl(dtype);
  const wide = options.wide ? storage.wide : undefined;
  return `${output(epilogue, { quads: options.source !== undefined })}
${options.source ?? `@group(0) @binding(0) var<storage, read> a: array<${activations}>;`}
@group(0) @binding(1) var<storage, read> w: array<${options.weights ?? (wide ? "vec4<u32>" : scalar ? storage.word : storage.four)}>;
${storage.scales ? "@group(0) @binding(6) var<storage, read> scales: array<u32>;" : ""}
${wide?.functions ?? (scalar ? storage.scalar : storage.functions)}
`;
}

/** Name of a kernel in profiles. */
export function productName(form: Form, kind: string, dtype: WeightType): string {
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
    label: productName(form, "subgroup", dtype),
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

/** Any sizes and either form, an invocation to a sum: for sizes that are no multiple of four. */
export function plainProduct(form: Form, options: { dtype: WeightType; epilogue: Epilogue }): ProductWgsl {
  const { dtype, epilogue } = options;
  const { stride } = storageWgsl(dtype);
  const place = form === "rows" ? `id.x * ${stride("params.depth")} + k` : `k * ${stride("params.columns")} + id.x`;
  return {
    label: productName(form, "plain", dtype),
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
