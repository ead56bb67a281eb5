/** Sums of parts of a row of numbers, such as the losses of sequences whose answer rows stand in one pass. A numbers, S sums. */
import type { Plan } from "../plan.ts";
import { expectShape, type Tensor } from "../tensor.ts";
import code from "./weighted_sums.wgsl" with { type: "text" };

/** Arguments of {@linkcode weightedSums}. */
export interface WeightedSumsArgs {
  /** (A) f32 */
  values: Tensor;
  /** (A) f32 */
  weights: Tensor;
  /** First number of each sum, and one after the last (S, 2) u32. */
  ranges: Tensor;
  /** (S) f32; scratch when left out */
  out?: Tensor;
}

/** out[s] = Σ weights · values over the range of s. An invocation to a sum, for sums of few numbers. */
export function weightedSums(plan: Plan, args: WeightedSumsArgs): Tensor {
  const { values, weights, ranges } = args;
  const [count] = ranges.shape;
  expectShape(values, [-1]);
  expectShape(weights, values.shape);
  expectShape(ranges, [-1, 2], "u32");
  const out = args.out ?? plan.scratch([count], { label: "weighted sums" });
  expectShape(out, [count]);
  plan.dispatch({ label: "weighted_sums", code }, {
    tensors: { values, weights, ranges, sums: out },
    params: { count, size: values.size },
    workgroups: [Math.ceil(count / 8)],
  });
  return out;
}
