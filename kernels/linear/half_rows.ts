/** Activations as f16 rows with a power of two each, for products that take f16 factors. Letters: M rows, K their length. */
import type { Gpu } from "../gpu.ts";
import { grid1d } from "../grid.ts";
import type { Plan } from "../plan.ts";
import { Tensor } from "../tensor.ts";
import type { ComputedRows } from "./computed_rows.ts";
import { halfRowsWgsl } from "./half_rows_wgsl.ts";

/** Rows in f16, and what undoes their scales. */
export interface HalfRows {
  /** (M, K filled up with zeros) f16 */
  readonly half: Tensor;
  /** (M) f32 */
  readonly rowScales: Tensor;
}

/** Arguments of {@linkcode halfRows}. */
export interface HalfRowsArgs {
  /** (M, K) f32, or what they are computed from */
  x: Tensor | ComputedRows;
  /** M */
  rows: number;
  /** K, a multiple of 4 */
  depth: number;
  /** The rows' length becomes a multiple of this. */
  tileDepth: number;
  /** The largest number of a row gets between 2^peak and 2^(peak + 1). */
  peak: number;
}

/** Sizes of a workgroup, and fours of a row that an invocation has registers for. */
const [THREADS, MOST_HELD] = [[128, 256, 512], 20];

/** The smallest workgroup that holds a row in registers, otherwise the largest there is. */
function workgroupOf({ device }: Gpu, { quads, parts }: { quads: number; parts: number }): { threads: number; held: number } {
  const possible = THREADS.filter((threads) => threads <= device.limits.maxComputeInvocationsPerWorkgroup);
  const threads = possible.find((threads) => quads <= MOST_HELD * threads) ?? possible.at(-1)!;
  return { threads, held: Math.min(MOST_HELD / parts, Math.ceil(quads / parts / threads)) };
}

/** The rows that a plan's last step used. */
const latest = new WeakMap<Plan, HalfRows & { key: string; x: HalfRowsArgs["x"]; length: number }>();

/** Rows in f16. Products of the same rows that follow each other share them: see {@linkcode keepHalfRows}. */
export function halfRows(plan: Plan, args: HalfRowsArgs): HalfRows {
  const { x, rows, depth, peak } = args;
  const known = latest.get(plan);
  if (known && known.x === x && known.length === plan.length && known.key === keyOf(args)) return known;
  const padded = paddedDepth(args);
  const half = plan.scratch([rows, padded], { dtype: "f16", label: "f16 rows" });
  const rowScales = plan.scratch([rows], { label: "row scales" });
  const source = x instanceof Tensor ? undefined : x;
  const workgroup = workgroupOf(plan.gpu, { quads: depth / 4, parts: source?.parts ?? 1 });
  plan.dispatch({ label: `linear f16 rows${source ? ` of ${source.label}` : ""}`, code: halfRowsWgsl({ ...workgroup, peak, source }) }, {
    tensors: { ...(x instanceof Tensor ? { x } : x.tensors), y: half, row_scales: rowScales },
    params: { rows, quads: depth / 4, padded: padded / 4 },
    workgroups: grid1d(rows, 1),
  });
  return { half, rowScales };
}

/** Lets the plan's next step have the same rows: nothing has changed them since. */
export function keepHalfRows(plan: Plan, args: HalfRowsArgs & HalfRows): void {
  const { x, half, rowScales } = args;
  latest.set(plan, { half, rowScales, x, key: keyOf(args), length: plan.length });
}

function paddedDepth({ depth, tileDepth }: HalfRowsArgs): number {
  return Math.ceil(depth / tileDepth) * tileDepth;
}

function keyOf(args: HalfRowsArgs): string {
  return [args.rows, args.depth, paddedDepth(args), args.peak].join();
}
