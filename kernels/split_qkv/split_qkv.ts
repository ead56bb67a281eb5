/**
 * What one product projects for attention, taken apart: rows of queries, keys and values side by side → turned queries, and turned keys beside values
 * where a cache wants them; and the way back, for the gradient. Letters: T rows, E = heads · headDim, KV = kvHeads · headDim, C rows of a cache.
 */
import { elementFor } from "../element/element.ts";
import flatCode from "../element/flat.wgsl" with { type: "text" };
import { grid1d } from "../grid.ts";
import type { Plan } from "../plan.ts";
import rotationCode from "../rotary/rotation.wgsl" with { type: "text" };
import rotationsScalarCode from "../rotary/rotations_scalar.wgsl" with { type: "text" };
import rotationsVec4Code from "../rotary/rotations_vec4.wgsl" with { type: "text" };
import { expectShape, type Tensor } from "../tensor.ts";
import joinCode from "./join.wgsl" with { type: "text" };
import rowsByIndexCode from "./rows_by_index.wgsl" with { type: "text" };
import rowsInOrderCode from "./rows_in_order.wgsl" with { type: "text" };
import splitCode from "./split.wgsl" with { type: "text" };
import mainCode from "./split_qkv.wgsl" with { type: "text" };

const WORKGROUP = 64;

/** What both directions take. */
interface QkvArgs {
  /** Positions of a row on each axis (T, A) u32, all below the table's length. */
  positions: Tensor;
  /** Cosine and sine of every position and pair (positions, headDim / 2, 2) f32; see `rotary_table.ts`. */
  table: Tensor;
  /** Which of the A position columns turns a pair (headDim / 2) u32. */
  axes: Tensor;
  /** Query heads. */
  heads: number;
  /** Key heads, and value heads. */
  kvHeads: number;
  /** Row of `kv` for each row (T) u32, all different, from C on for none; the rows are the first T when left out. */
  index?: Tensor;
}

/** Arguments of {@linkcode splitQkv}. */
export interface SplitQkvArgs extends QkvArgs {
  /** Queries, keys and values (T, E + 2·KV) f32. */
  qkv: Tensor;
  /** Where keys and values go (C, 2·KV) f32, other rows of which stay as they are; scratch (T, 2·KV) when left out. */
  kv?: Tensor;
}

/** @returns turned queries (T, E), and `kv` with turned keys beside values */
export function splitQkv(plan: Plan, args: SplitQkvArgs): { q: Tensor; kv: Tensor } {
  const { qkv, heads, kvHeads } = args;
  const [rows] = qkv.shape;
  const headDim = 2 * args.table.shape[1];
  const q = plan.scratch([rows, heads * headDim], { label: "queries" });
  const kv = args.kv ?? plan.scratch([rows, 2 * kvHeads * headDim], { label: "keys and values" });
  dispatch(plan, { ...args, qkv, q, kv, back: false });
  return { q, kv };
}

/** Arguments of {@linkcode splitQkvBackward}. */
export interface SplitQkvBackwardArgs extends QkvArgs {
  /** Gradient of the turned queries (T, E) f32. */
  dq: Tensor;
  /** Gradient of the turned keys, beside that of the values (C, 2·KV) f32. */
  dkv: Tensor;
}

/** Gradient of the rows that were taken apart (T, E + 2·KV). Assigns. */
export function splitQkvBackward(plan: Plan, args: SplitQkvBackwardArgs): Tensor {
  const { dq: q, dkv: kv } = args;
  const qkv = plan.scratch([q.shape[0], q.shape[1] + kv.shape[1]], { label: "gradient of queries, keys and values" });
  dispatch(plan, { ...args, qkv, q, kv, back: true });
  return qkv;
}

function dispatch(plan: Plan, args: QkvArgs & { qkv: Tensor; q: Tensor; kv: Tensor; back: boolean }): void {
  const { qkv, q, kv, positions, table, axes, heads, kvHeads, index, back } = args;
  expectShape(positions, [-1, -1], "u32");
  expectShape(table, [-1, -1, 2]);
  const [rows, axisCount] = positions.shape;
  const half = table.shape[1];
  expectShape(axes, [half], "u32");
  expectShape(qkv, [rows, (heads + 2 * kvHeads) * 2 * half]);
  expectShape(q, [rows, heads * 2 * half]);
  expectShape(kv, [-1, 2 * kvHeads * 2 * half]);
  if (index) expectShape(index, [rows], "u32");
  else if (kv.shape[0] < rows) expectShape(kv, [rows, kv.shape[1]]);
  if (rows === 0) return;

  const element = elementFor(half);
  const all = heads + 2 * kvHeads;
  // Software: sines and cosines are looked up once for several heads. A real GPU: more invocations.
  const headsEach = plan.gpu.software ? Math.min(all, 8) : 1;
  const headParts = Math.ceil(all / headsEach);
  const count = rows * headParts * half / element.width;
  plan.dispatch({
    label: back ? "split_qkv_backward" : "split_qkv",
    code: [
      element.code,
      mainCode,
      rotationCode,
      element.width === 4 ? rotationsVec4Code : rotationsScalarCode,
      back ? joinCode : splitCode,
      index ? rowsByIndexCode : rowsInOrderCode,
      flatCode,
    ],
    constants: { WIDTH: element.width, HALF: half / element.width, HEADS_EACH: headsEach, WORKGROUP },
  }, {
    tensors: { positions, table, frequency_axes: axes, qkv, q, kv, ...(index ? { index } : {}) },
    params: { count, head_parts: headParts, heads, kv_heads: kvHeads, axes: axisCount, kv_rows: kv.shape[0], sign: back ? -1 : 1 },
    workgroups: grid1d(count, WORKGROUP),
  });
}
