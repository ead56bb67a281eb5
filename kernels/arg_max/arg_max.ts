/** Column of the largest logit of each row. Letters: R rows, V columns that count, W ≥ V columns of the logits. */
import type { Plan } from "../plan.ts";
import { expectShape, type Tensor } from "../tensor.ts";
import argMaxCode from "./arg_max.wgsl" with { type: "text" };
import partsCode from "./arg_max_parts.wgsl" with { type: "text" };

/** Arguments of {@linkcode argMax}. */
export interface ArgMaxArgs {
  /** (R, W) f32 */
  logits: Tensor;
  /** V; W when left out. */
  vocabulary?: number;
  /** (R) u32; scratch when left out */
  out?: Tensor;
}

/** Columns that one invocation goes through. */
const PER_PART = 256;

/** First column of the largest value (R) u32, as `torch.argmax` on a CPU; NaN counts as larger than every number. */
export function argMax(plan: Plan, args: ArgMaxArgs): Tensor {
  const { logits } = args;
  expectShape(logits, [-1, -1]);
  const [rows, width] = logits.shape;
  const columns = args.vocabulary ?? width;
  const out = args.out ?? plan.scratch([rows], { dtype: "u32", label: "arg-max" });
  expectShape(out, [rows], "u32");
  const count = Math.ceil(columns / PER_PART);
  const parts = plan.scratch([rows, count], { dtype: "u32", label: "parts of an arg-max" });
  plan.dispatch({ label: "arg_max_parts", code: partsCode }, {
    tensors: { logits, parts },
    params: { width, columns, per: PER_PART, count },
    workgroups: [Math.ceil(count / 8), rows],
  });
  plan.dispatch({ label: "arg_max", code: argMaxCode }, {
    tensors: { logits, parts, out },
    params: { rows, width, count },
    workgroups: [Math.ceil(rows / 64)],
  });
  return out;
}
