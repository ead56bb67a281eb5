/** Rows of a table by their index, and the gradient: rows added where they came from. T indices, N rows of the table, D numbers a row. */
import { elementFor } from "../element/element.ts";
import flatCode from "../element/flat.wgsl" with { type: "text" };
import { grid1d } from "../grid.ts";
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
  /** The table, or a block of its rows (N, D) f32, bf16 or f16. */
  source: Tensor;
  /** Row of the table for every row of the result (T) u32; {@linkcode NO_ROW} for none. */
  index: Tensor;
  /** Result (T, D) f32. Rows that the source lacks stay as they are, so that several blocks and sources can fill one result. */
  out: Tensor;
  /** Index in the table of the source's first row, 0 when left out. */
  first?: number;
}

/** out[t] = source[index[t] − first] wherever the source has that row. */
export function gatherRows(plan: Plan, args: GatherRowsArgs): Tensor {
  const { source, index, out, first = 0 } = args;
  expectShape(source, [-1, -1], source.dtype);
  expectShape(index, [-1], "u32");
  const [rows, columns] = source.shape;
  expectShape(out, [index.shape[0], columns]);
  const element = elementFor(columns);
  const count = out.size / element.width;
  if (count === 0 || rows === 0) return out;
  const half = element.width === 4 ? sourceHalfVec4Code : sourceHalfScalarCode;
  const isHalf = source.dtype === "bf16" || source.dtype === "f16";
  if (!isHalf && source.dtype !== "f32") throw new Error(`gatherRows: "${source.label}" is ${source.dtype}; expected f32, bf16 or f16`);
  plan.dispatch({
    label: "gather_rows",
    code: [element.code, flatCode, isHalf ? half : sourceF32Code, gatherCode],
    constants: isHalf ? { BFLOAT: source.dtype === "bf16" } : {},
  }, {
    tensors: { index, source, y: out },
    params: { count, elements: columns / element.width, rows, first },
    workgroups: grid1d(count, 64),
  });
  return out;
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
