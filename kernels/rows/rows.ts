/** Rows of a table by their index, and the gradient: rows added where they came from. T indices, N rows of the table, D numbers a row. */
import { elementFor } from "../element/element.ts";
import flatCode from "../element/flat.wgsl" with { type: "text" };
import { grid1d } from "../grid.ts";
import type { Matrix } from "../linear/matrix.ts";
import { storageWgsl } from "../linear/storage_wgsl.ts";
import { isQuantized, storedColumns, type WeightType } from "../linear/weight_types.ts";
import type { Plan } from "../plan.ts";
import { expectShape, type Tensor } from "../tensor.ts";
import gatherCode from "./gather_rows.wgsl" with { type: "text" };
import scatterCode from "./scatter_add_rows.wgsl" with { type: "text" };
import sourceF32Code from "./source_f32.wgsl" with { type: "text" };
import sourceHalfScalarCode from "./source_half_scalar.wgsl" with { type: "text" };
import sourceHalfVec4Code from "./source_half_vec4.wgsl" with { type: "text" };

/** The index that means no row. */
export const NO_ROW = 0xffffffff;

/** Arguments of {@linkcode gatherRows}. */
export interface GatherRowsArgs {
  /** The table, or a block of its rows (N, D) f32, bf16 or f16; quantised, with D rounded up to whole groups, where `scales` are given. */
  source: Tensor;
  /** Scales of a quantised table. */
  scales?: Tensor;
  /** Row of the table for every row of the result (T) u32; {@linkcode NO_ROW} for none. */
  index: Tensor;
  /** Result (T, D) f32. Rows that the source lacks stay as they are, so that several blocks and sources can fill one result. */
  out: Tensor;
  /** Index in the table of the source's first row, 0 when left out. */
  first?: number;
}

/** out[t] = source[index[t] − first] wherever the source has that row. */
export function gatherRows(plan: Plan, args: GatherRowsArgs): Tensor {
  const { source, scales, index, out, first = 0 } = args;
  const [rows] = source.shape;
  const columns = out.shape[1];
  expectShape(source, [-1, scales ? storedColumns(columns, source.dtype as WeightType) : columns], source.dtype);
  expectShape(index, [-1], "u32");
  expectShape(out, [index.shape[0], columns]);
  const element = elementFor(columns);
  const count = out.size / element.width;
  if (count === 0 || rows === 0) return out;
  const { code, constants } = sourceCode(source, element.width);
  plan.dispatch({ label: "gather_rows", code: [element.code, flatCode, code, gatherCode], constants }, {
    tensors: { index, y: out, ...(scales ? { w: source, scales } : { source }) },
    params: { count, elements: columns / element.width, rows, first },
    workgroups: grid1d(count, 64),
  });
  return out;
}

/** Rows of a matrix in blocks. @returns out (T, D) */
export function gatherMatrixRows(plan: Plan, args: { matrix: Matrix; index: Tensor; out: Tensor }): Tensor {
  const { matrix, index, out } = args;
  for (const { start, tensor, scales } of matrix.blocks) gatherRows(plan, { source: tensor, scales, index, out, first: start });
  return out;
}

/** WGSL of `load`: an element of the source. */
function sourceCode({ dtype, label }: Tensor, width: 1 | 4): { code: string; constants: Record<string, boolean> } {
  if (dtype === "f32") return { code: sourceF32Code, constants: {} };
  if (dtype === "bf16" || dtype === "f16") {
    return { code: width === 4 ? sourceHalfVec4Code : sourceHalfScalarCode, constants: { BFLOAT: dtype === "bf16" } };
  }
  if (!isQuantized(dtype)) throw new Error(`gatherRows: "${label}" is ${dtype}; expected f32, bf16, f16, int8 or int4`);
  const { functions, scalar, read4, stride } = storageWgsl(dtype);
  const place = `row * (${stride(`(${width}u * params.elements)`)} / ${width}u) + column`;
  const code = `
@group(0) @binding(3) var<storage, read> w: array<u32>;
@group(0) @binding(4) var<storage, read> scales: array<u32>;
${width === 4 ? functions : scalar}
fn load(row: u32, column: u32) -> Element { return ${width === 4 ? read4(place) : `weight(${place})`}; }
`;
  return { code, constants: {} };
}

/** Arguments of {@linkcode scatterAddRows}. */
export interface ScatterAddRowsArgs {
  /** Rows to add (T, D) f32. */
  dy: Tensor;
  /** Row of the result that each is added to (T) u32; {@linkcode NO_ROW} (or any index from N on) for none. */
  index: Tensor;
  /** Result (N, D) f32, other memory than `dy`. */
  out: Tensor;
  /** Whether to add to what the result holds; otherwise it begins at zero. */
  add?: boolean;
}

/** out[n] (+)= the sum over t with index[t] = n of dy[t]: the gradient of {@linkcode gatherRows}. The same bits at each run. */
export function scatterAddRows(plan: Plan, args: ScatterAddRowsArgs): Tensor {
  const { dy, index, out, add = false } = args;
  expectShape(index, [-1], "u32");
  expectShape(out, [-1, -1]);
  const [rows, columns] = out.shape;
  const terms = index.shape[0];
  expectShape(dy, [terms, columns]);
  if (rows * columns === 0) return out;
  if (terms === 0) {
    if (!add) plan.clear(out);
    return out;
  }
  const element = elementFor(columns);
  const elements = columns / element.width;
  // Every invocation reads all indices: no more of them than keep the device busy.
  const wanted = plan.gpu.software ? 64 : 65536;
  const rowsEach = Math.ceil(rows / Math.min(rows, Math.ceil(wanted / elements)));
  const count = Math.ceil(rows / rowsEach) * elements;
  plan.dispatch({ label: "scatter_add_rows", code: [element.code, flatCode, scatterCode], constants: { ADD: add } }, {
    tensors: { index, dy, y: out },
    params: { count, elements, rows, rows_each: rowsEach, terms },
    workgroups: grid1d(count, 64),
  });
  return out;
}
