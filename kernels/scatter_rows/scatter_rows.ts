/** Rows written to places that a tensor names. Letters: T rows, N rows of the result, W numbers a row. */
import { grid1d } from "../grid.ts";
import type { Plan } from "../plan.ts";
import { expectShape, type Tensor } from "../tensor.ts";
import code from "./scatter_rows.wgsl" with { type: "text" };

/** Arguments of {@linkcode scatterRows}. */
export interface ScatterRowsArgs {
  /** (T, W) f32 */
  source: Tensor;
  /** Row of the result for each row (T) u32, all different; 0xffffffff for none. */
  index: Tensor;
  /** (N, W) f32; other rows stay as they are. Other memory than `source`. */
  out: Tensor;
}

/** out[index[t]] = source[t]. */
export function scatterRows(plan: Plan, args: ScatterRowsArgs): Tensor {
  const { source, index, out } = args;
  const [rows, width] = source.shape;
  expectShape(source, [-1, -1]);
  expectShape(index, [rows], "u32");
  expectShape(out, [-1, width]);
  plan.dispatch({ label: "scatter_rows", code }, {
    tensors: { source, index, out },
    params: { count: rows * width, width, rows: out.shape[0] },
    workgroups: grid1d(rows * width, 64),
  });
  return out;
}
