/** LayerNorm (Ba, Kiros and Hinton 2016, arXiv:1607.06450), forward only: the vision tower is frozen. T rows of D numbers. */
import type { ComputedRows } from "../linear/computed_rows.ts";
import storedRowsCode from "../linear/stored_rows.wgsl" with { type: "text" };
import type { Plan } from "../plan.ts";
import { dispatchRowNorm, type RowVariant } from "../row_norm/row_norm.ts";
import { expectShape, type Tensor } from "../tensor.ts";
import forwardCode from "./layer_norm.wgsl" with { type: "text" };
import rowsCode from "./layer_norm_rows.wgsl" with { type: "text" };

/** Arguments of {@linkcode layerNorm}. */
export interface LayerNormArgs {
  /** Input (T, D) f32. */
  x: Tensor;
  /** Factors (D) f32. */
  weight: Tensor;
  /** Summands (D) f32. */
  bias: Tensor;
  /** Added to the variance. */
  eps: number;
  /** Result (T, D) f32, other memory than `x`; scratch when left out. */
  out?: Tensor;
  /** Override of the choice by adapter. */
  variant?: RowVariant;
}

/** y (T, D) = (x − mean) / sqrt(variance + eps) · weight + bias. */
export function layerNorm(plan: Plan, args: LayerNormArgs): Tensor {
  const { x, weight, bias, eps, variant } = args;
  const [rows, columns] = checked(args);
  const y = args.out ?? plan.scratch([rows, columns], { label: "LayerNorm" });
  expectShape(y, [rows, columns]);
  dispatchRowNorm(plan, {
    label: "layer_norm",
    code: [forwardCode],
    tensors: { x, weight, bias, y },
    rows,
    columns,
    eps,
    variant,
  });
  return y;
}

/** {@linkcode layerNorm} as activations of products. */
export function layerNormRows(args: Pick<LayerNormArgs, "x" | "weight" | "bias" | "eps">): ComputedRows {
  const { x, weight, bias, eps } = args;
  return {
    label: "layer_norm",
    shape: checked(args),
    parts: 1,
    statistics: "variance",
    tensors: { x, weight, bias },
    code: `${storedRowsCode}\nconst EPS: f32 = ${eps};\n${rowsCode}`,
    record: (plan) => layerNorm(plan, args),
  };
}

/** The shape of x, checked together with those of weight and bias. */
function checked({ x, weight, bias }: LayerNormArgs): [number, number] {
  expectShape(x, [-1, -1]);
  expectShape(weight, [x.shape[1]]);
  expectShape(bias, [x.shape[1]]);
  return [x.shape[0], x.shape[1]];
}
