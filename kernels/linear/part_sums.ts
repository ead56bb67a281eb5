/** Adds the parts of a product whose summed dimension was cut. */
import { grid1d } from "../grid.ts";
import type { Plan } from "../plan.ts";
import type { Tensor } from "../tensor.ts";
import type { ProductArgs } from "./product_args.ts";
import { type Epilogue, output } from "./product_wgsl.ts";

const INVOCATIONS = 64;

/** Parts that the summed dimension may be cut into, and numbers of it that a part has at least. */
const [SPLITS, LEAST_DEPTH] = [[1, 2, 4, 8], 256];
/** Workgroups up to which cutting it is thought of: more keep any GPU busy uncut. */
const MOST_CUT = 1024;

/** The numbers of parts that may be worth trying for a product (M, N, K) with tiles of y. */
export function cutsOf(
  tile: { readonly rows: number; readonly columns: number },
  { rows, columns, depth }: { readonly rows: number; readonly columns: number; readonly depth: number },
): number[] {
  const workgroups = Math.ceil(rows / tile.rows) * Math.ceil(columns / tile.columns);
  return SPLITS.filter((splits) => splits === 1 || (depth / splits >= LEAST_DEPTH && splits * workgroups <= MOST_CUT));
}

/** y = the sum of the parts (parts · M, N), with the epilogue; `depth` is the number of parts. */
const partSums = (epilogue: Epilogue): string =>
  `${output(epilogue)}
@group(0) @binding(0) var<storage, read> parts: array<f32>;
@compute @workgroup_size(${INVOCATIONS})
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
  let i = (group.y * groups.x + group.x) * ${INVOCATIONS}u + thread;
  if (i >= params.rows * params.columns) { return; }
  var sum = 0.0;
  for (var part = 0u; part < params.depth; part++) { sum += parts[part * params.rows * params.columns + i]; }
  store(i / params.columns, i % params.columns, sum);
}`;

/** Records the sum of `parts` (splits · M, N) into the product's `y`, with its epilogue. */
export function addParts(plan: Plan, options: ProductArgs & { parts: Tensor; splits: number }): void {
  const { rows, columns, epilogue, tensors, rowStride, firstColumn, parts, splits } = options;
  const { a: _a, w: _w, scales: _scales, ...added } = tensors;
  plan.dispatch({ label: "linear sum of parts", code: partSums(epilogue) }, {
    tensors: { ...added, parts },
    params: { rows, columns, depth: splits, row_stride: rowStride, first_column: firstColumn },
    workgroups: grid1d(rows * columns, INVOCATIONS),
  });
}
