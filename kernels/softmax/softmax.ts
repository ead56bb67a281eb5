/** Softmax of rows and its gradient. Letters: R rows, N columns. Few rows, as in the aspects' cross-attention. */
import type { Plan } from "../plan.ts";
import { expectShape, type Tensor } from "../tensor.ts";
import forwardCode from "./softmax.wgsl" with { type: "text" };
import backwardCode from "./softmax_backward.wgsl" with { type: "text" };

/** Arguments of {@linkcode rowSoftmax}. */
export interface RowSoftmaxArgs {
  /** (R, N) */
  x: Tensor;
  /** Factor of x before the softmax. */
  scale: number;
  /** (R, N); scratch when left out */
  out?: Tensor;
}

/** p (R, N) = softmax(scale · x) along the rows. */
export function rowSoftmax(plan: Plan, args: RowSoftmaxArgs): Tensor {
  const { x, scale } = args;
  const [rows, columns] = x.shape;
  const out = args.out ?? plan.scratch([rows, columns], { label: "softmax" });
  expectShape(x, [-1, -1]);
  expectShape(out, [rows, columns]);
  plan.dispatch({ label: "softmax", code: forwardCode }, { tensors: { x, p: out }, params: { columns, scale }, workgroups: [rows] });
  return out;
}

/** Arguments of {@linkcode rowSoftmaxBackward}. */
export interface RowSoftmaxBackwardArgs {
  /** Result of the forward pass (R, N). */
  p: Tensor;
  /** Its gradient (R, N). */
  dp: Tensor;
  /** Factor of x. */
  scale: number;
  /** (R, N); scratch when left out */
  out?: Tensor;
}

/** dx (R, N) = scale · p · (dp − Σ p · dp). Assigns. */
export function rowSoftmaxBackward(plan: Plan, args: RowSoftmaxBackwardArgs): Tensor {
  const { p, dp, scale } = args;
  const [rows, columns] = p.shape;
  const out = args.out ?? plan.scratch([rows, columns], { label: "softmax gradient" });
  expectShape(dp, [rows, columns]);
  expectShape(out, [rows, columns]);
  plan.dispatch({ label: "softmax_backward", code: backwardCode }, {
    tensors: { p, dp, dx: out },
    params: { columns, scale },
    workgroups: [rows],
  });
  return out;
}
