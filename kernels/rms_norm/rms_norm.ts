/** RMSNorm (Zhang and Sennrich 2019, arXiv:1910.07467) and the gradient of its input. T rows of D numbers. */
import { isSamePlace } from "../element/element.ts";
import type { ComputedRows } from "../linear/computed_rows.ts";
import storedRowsCode from "../linear/stored_rows.wgsl" with { type: "text" };
import type { Plan } from "../plan.ts";
import { dispatchRowNorm, type RowVariant } from "../row_norm/row_norm.ts";
import { expectShape, type Tensor } from "../tensor.ts";
import baseInPlaceCode from "./base_in_place.wgsl" with { type: "text" };
import baseNoneCode from "./base_none.wgsl" with { type: "text" };
import baseResidualCode from "./base_residual.wgsl" with { type: "text" };
import forwardCode from "./rms_norm.wgsl" with { type: "text" };
import backwardCode from "./rms_norm_backward.wgsl" with { type: "text" };
import rowsCode from "./rms_norm_rows.wgsl" with { type: "text" };

/** Arguments of {@linkcode rmsNorm}. */
export interface RmsNormArgs {
  /** Input (T, D) f32. */
  x: Tensor;
  /** Factors (D) f32. */
  weight: Tensor;
  /** Added to the mean square. */
  eps: number;
  /** Result (T, D) f32, other memory than `x`; scratch when left out. */
  out?: Tensor;
  /** Override of the choice by adapter. */
  variant?: RowVariant;
}

/** y (T, D) = x / sqrt(mean(x²) + eps) · weight. */
export function rmsNorm(plan: Plan, args: RmsNormArgs): Tensor {
  const { x, weight, eps, variant } = args;
  const [rows, columns] = checked(x, weight);
  const y = args.out ?? plan.scratch([rows, columns], { label: "RMSNorm" });
  expectShape(y, [rows, columns]);
  dispatchRowNorm(plan, { label: "rms_norm", code: [forwardCode], tensors: { x, weight, y }, rows, columns, eps, variant });
  return y;
}

/** {@linkcode rmsNorm} as activations of products. */
export function rmsNormRows({ x, weight, eps }: Pick<RmsNormArgs, "x" | "weight" | "eps">): ComputedRows {
  return {
    label: "rms_norm",
    shape: checked(x, weight),
    parts: 1,
    statistics: "squares",
    tensors: { x, weight },
    code: `${storedRowsCode}\nconst EPS: f32 = ${eps};\n${rowsCode}`,
    record: (plan) => rmsNorm(plan, { x, weight, eps }),
  };
}

/** Arguments of {@linkcode rmsNormBackward}. */
export interface RmsNormBackwardArgs extends RmsNormArgs {
  /** Gradient of the result (T, D) f32. */
  dy: Tensor;
  /** Gradient that reaches `x` by the skip connection (T, D) f32; it is added. May be the same tensor as `out`. */
  residual?: Tensor;
}

/** dx (T, D), plus `residual` where given. The weight is taken as frozen and gets no gradient. */
export function rmsNormBackward(plan: Plan, args: RmsNormBackwardArgs): Tensor {
  const { x, weight, dy, residual, eps, variant } = args;
  const [rows, columns] = checked(x, weight);
  const dx = args.out ?? plan.scratch([rows, columns], { label: "RMSNorm gradient" });
  for (const tensor of [dy, dx, ...(residual ? [residual] : [])]) expectShape(tensor, [rows, columns]);
  const apart = residual && !isSamePlace(residual, dx);
  const baseCode = apart ? baseResidualCode : residual ? baseInPlaceCode : baseNoneCode;
  const tensors = { x, weight, dy, dx, ...(apart ? { residual } : {}) };
  dispatchRowNorm(plan, { label: "rms_norm_backward", code: [baseCode, backwardCode], tensors, rows, columns, eps, variant });
  return dx;
}

/** The shape of x, checked together with the weight's. */
function checked(x: Tensor, weight: Tensor): [number, number] {
  expectShape(x, [-1, -1]);
  expectShape(weight, [x.shape[1]]);
  return [x.shape[0], x.shape[1]];
}
