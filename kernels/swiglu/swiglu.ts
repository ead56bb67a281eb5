/** SwiGLU (Shazeer 2020, arXiv:2002.05202), silu(gate) · up, and its gradients. T rows of I numbers. */
import { elementFor } from "../element/element.ts";
import vec4Code from "../element/element_vec4.wgsl" with { type: "text" };
import flatCode from "../element/flat.wgsl" with { type: "text" };
import { grid1d } from "../grid.ts";
import type { ComputedRows } from "../linear/computed_rows.ts";
import type { Plan } from "../plan.ts";
import { expectShape, type Tensor } from "../tensor.ts";
import gateUpCode from "./gate_up.wgsl" with { type: "text" };
import siluCode from "./silu.wgsl" with { type: "text" };
import forwardCode from "./swiglu.wgsl" with { type: "text" };
import backwardCode from "./swiglu_backward.wgsl" with { type: "text" };
import backwardRowsCode from "./swiglu_backward_rows.wgsl" with { type: "text" };
import rowsCode from "./swiglu_rows.wgsl" with { type: "text" };

/** Arguments of {@linkcode swiglu}. */
export interface SwigluArgs {
  /** (T, 2I) f32: a row holds all of gate, then all of up. */
  gateUp: Tensor;
  /** Result (T, I) f32, other memory than the input; scratch when left out. */
  out?: Tensor;
}

/**
 * silu(gate) · up, (T, I).
 *
 * @throws {Error} when shapes do not fit together
 */
export function swiglu(plan: Plan, { gateUp, out }: SwigluArgs): Tensor {
  const [rows, columns] = checked(gateUp);
  const y = out ?? plan.scratch([rows, columns], { label: "SwiGLU" });
  expectShape(y, [rows, columns]);
  dispatch(plan, { label: "swiglu", code: forwardCode, tensors: { gate_up: gateUp, y }, rows, columns });
  return y;
}

/** {@linkcode swiglu} as a product's activations. */
export function swigluRows({ gateUp }: { gateUp: Tensor }): ComputedRows {
  return {
    label: "swiglu",
    shape: checked(gateUp),
    parts: 1,
    tensors: { gate_up: gateUp },
    code: `${vec4Code}\n${siluCode}\n${rowsCode}`,
    record: (plan) => swiglu(plan, { gateUp }),
  };
}

/** Arguments of {@linkcode swigluBackward}. */
export interface SwigluBackwardArgs {
  /** (T, 2I) f32, as in the forward pass. */
  gateUp: Tensor;
  /** Gradient of the result (T, I) f32. */
  dy: Tensor;
  /** Gradients of gate and up (T, 2I) f32; scratch when left out. */
  dgateUp?: Tensor;
}

/**
 * Gradients of gate and up, side by side as they are themselves (T, 2I).
 *
 * @throws {Error} when shapes do not fit together
 */
export function swigluBackward(plan: Plan, args: SwigluBackwardArgs): Tensor {
  const { gateUp, dy } = args;
  const [rows, columns] = checked(gateUp);
  expectShape(dy, [rows, columns]);
  const dgateUp = args.dgateUp ?? plan.scratch([rows, 2 * columns], { label: "SwiGLU gradient" });
  expectShape(dgateUp, [rows, 2 * columns]);
  const tensors = { gate_up: gateUp, dy, dgate_up: dgateUp };
  dispatch(plan, { label: "swiglu_backward", code: backwardCode, tensors, rows, columns });
  return dgateUp;
}

/** {@linkcode swigluBackward} as a product's activations. */
export function swigluBackwardRows({ gateUp, dy }: { gateUp: Tensor; dy: Tensor }): ComputedRows {
  const [rows, columns] = checked(gateUp);
  expectShape(dy, [rows, columns]);
  return {
    label: "swiglu_backward",
    shape: [rows, 2 * columns],
    parts: 2,
    tensors: { gate_up: gateUp, dy },
    code: `${vec4Code}\n${siluCode}\n${backwardRowsCode}`,
    record: (plan) => swigluBackward(plan, { gateUp, dy }),
  };
}

/** Rows, and numbers of a row of the result. */
function checked(gateUp: Tensor): [rows: number, columns: number] {
  expectShape(gateUp, [-1, -1]);
  const [rows, width] = gateUp.shape;
  if (width % 2) throw new Error(`swiglu: "${gateUp.label}" has rows of ${width} numbers; expected gate and up of equal length`);
  return [rows, width / 2];
}

function dispatch(
  plan: Plan,
  op: { label: string; code: string; tensors: Record<string, Tensor>; rows: number; columns: number },
): void {
  const element = elementFor(op.columns);
  const count = op.rows * op.columns / element.width;
  if (count === 0) return;
  plan.dispatch({ label: op.label, code: [element.code, flatCode, siluCode, gateUpCode, op.code] }, {
    tensors: op.tensors,
    params: { count, elements: op.columns / element.width },
    workgroups: grid1d(count, 64),
  });
}
