/** y = a · w for few rows of `a`: bound by reading w, which is read once for every eight rows. Letters and forms as in `product_wgsl.ts`. */
import type { Plan } from "../plan.ts";
import { addParts } from "./part_sums.ts";
import type { ProductArgs } from "./product_args.ts";
import { type Epilogue, header, NO_EPILOGUE } from "./product_wgsl.ts";
import { storageWgsl } from "./storage_wgsl.ts";
import type { WeightType } from "./weight_types.ts";

/** Rows of `a` that a workgroup takes. */
const ROWS = 8;
const THREADS = 64;
/** Workgroups of {@linkcode THREADS} that keep a large GPU busy, and the least depth that is worth one. */
const BUSY = 768;
const LEAST_DEPTH = 128;

const lines = (n: number, line: (i: number) => string): string => Array.from({ length: n }, (_, i) => line(i)).join("\n");

/** An invocation sums a slice of the depth for four columns and up to eight rows. Depth and columns multiples of 4. */
function wgsl(options: { dtype: WeightType; epilogue: Epilogue; rows: number; split: boolean }): string {
  const { dtype, epilogue, rows, split } = options;
  const { read4, stride } = storageWgsl(dtype);
  const target = (row: string, column: string) =>
    split ? `y[(group.z * params.rows + ${row}) * params.columns + ${column}] = ` : `store(${row}, ${column}, `;
  return `${header(dtype, epilogue)}
@compute @workgroup_size(${THREADS})
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
  let quad = group.x * ${THREADS}u + thread;
  let column = min(quad, params.columns / 4u - 1u);
  let across = ${stride("params.columns")} / 4u;
  let fours = params.depth / 4u;
  let slice = (fours + groups.z - 1u) / groups.z;
  let end = min((group.z + 1u) * slice, fours);
${
    lines(rows, (i) =>
      `let row${i} = group.y * ${ROWS}u + ${i}u; let a${i} = min(row${i}, params.rows - 1u) * fours; var c${i} = vec4<f32>();`)
  }
  for (var k = group.z * slice; k < end; k++) {
${lines(4, (s) => `let w${s} = ${read4(`(4u * k + ${s}u) * across + column`)};`)}
${
    lines(rows, (i) =>
      `{ let v = a[a${i} + k]; ` +
      [..."xyzw"].map((s, j) => `c${i} = fma(vec4<f32>(v.${s}), w${j}, c${i});`).join(" ") + " }")
  }
  }
  if (quad >= params.columns / 4u) { return; }
${
    lines(rows, (i) =>
      `if (row${i} < params.rows) { ` +
      [..."xyzw"].map((s, j) => `${target(`row${i}`, `4u * quad + ${j}u`)}c${i}.${s}${split ? "" : ")"};`).join(" ") + " }")
  }
}`;
}

/** Records the product; where columns are few, the depth is cut into parts that are added afterwards. */
export function recordVectorColumns(plan: Plan, options: ProductArgs): void {
  const { rows, columns, depth, dtype, epilogue, tensors, rowStride, firstColumn } = options;
  const [across, down] = [Math.ceil(columns / 4 / THREADS), Math.ceil(rows / ROWS)];
  const splits = Math.max(1, Math.min(Math.floor(BUSY / (across * down)), Math.floor(depth / LEAST_DEPTH)));
  const split = splits > 1;
  const { bias: _bias, residual: _residual, y, ...factors } = tensors;
  const parts = split ? plan.scratch([splits * rows, columns], { label: "parts of a product" }) : y;
  const code = wgsl({ dtype, epilogue: split ? NO_EPILOGUE : epilogue, rows: Math.min(rows, ROWS), split });
  plan.dispatch({ label: `linear columns vector ${dtype}${split ? " split" : ""}`, code }, {
    tensors: { ...(split ? factors : tensors), y: parts },
    params: { rows, columns, depth, row_stride: rowStride, first_column: firstColumn },
    workgroups: [across, down, splits],
    flops: 2 * rows * columns * depth,
  });
  if (split) addParts(plan, { ...options, parts, splits });
}
