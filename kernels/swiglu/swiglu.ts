/** SwiGLU (Shazeer 2020, arXiv:2002.05202), silu(gate) · up, and its gradients. T rows of I numbers. */
import { elementFor, type ElementType } from "../element/element.ts";
import flatCode from "../element/flat.wgsl" with { type: "text" };
import { grid1d } from "../grid.ts";
import type { Plan } from "../plan.ts";
import { expectShape, type Tensor } from "../tensor.ts";
import gateUpCode from "./gate_up.wgsl" with { type: "text" };
import loadApartCode from "./load_apart.wgsl" with { type: "text" };
import loadFusedCode from "./load_fused.wgsl" with { type: "text" };
import storeApartCode from "./store_apart.wgsl" with { type: "text" };
import storeFusedCode from "./store_fused.wgsl" with { type: "text" };
import forwardCode from "./swiglu.wgsl" with { type: "text" };
import backwardCode from "./swiglu_backward.wgsl" with { type: "text" };

/** Gate and up as two tensors (T, I) f32. */
export interface GateAndUp {
  /** Input of silu (T, I) f32. */
  gate: Tensor;
  /** Factor (T, I) f32. */
  up: Tensor;
  /** Not together with the other two. */
  gateUp?: undefined;
}

/** Gate and up in one tensor. */
export interface FusedGateUp {
  /** (T, 2I) f32: a row holds all of gate, then all of up. */
  gateUp: Tensor;
  /** Not together with `gateUp`. */
  gate?: undefined;
  /** Not together with `gateUp`. */
  up?: undefined;
}

/** Arguments of {@linkcode swiglu}. */
export type SwigluArgs = (GateAndUp | FusedGateUp) & {
  /** Result (T, I) f32, other memory than the inputs; scratch when left out. */
  out?: Tensor;
};

/** silu(gate) · up, (T, I). */
export function swiglu(plan: Plan, args: SwigluArgs): Tensor {
  const { rows, columns, tensors } = checked(args);
  const y = args.out ?? plan.scratch([rows, columns], { label: "SwiGLU" });
  expectShape(y, [rows, columns]);
  dispatch(plan, {
    label: "swiglu",
    code: [args.gateUp ? loadFusedCode : loadApartCode, forwardCode],
    tensors: { ...tensors, y },
    rows,
    columns,
  });
  return y;
}

/** Arguments of {@linkcode swigluBackward} with gate and up apart. */
export interface SwigluBackwardArgs extends GateAndUp {
  /** Gradient of the result (T, I) f32. */
  dy: Tensor;
  /** Gradient of gate (T, I) f32; scratch when left out. */
  dgate?: Tensor;
  /** Gradient of up (T, I) f32; scratch when left out. */
  dup?: Tensor;
}

/** Arguments of {@linkcode swigluBackward} with gate and up in one tensor. */
export interface FusedSwigluBackwardArgs extends FusedGateUp {
  /** Gradient of the result (T, I) f32. */
  dy: Tensor;
  /** Gradients of gate and up (T, 2I) f32; scratch when left out. */
  dgateUp?: Tensor;
}

/** Gradients of gate and up, apart or in one tensor as the inputs are. */
export function swigluBackward(plan: Plan, args: SwigluBackwardArgs): { dgate: Tensor; dup: Tensor };
/** Gradients of gate and up, apart or in one tensor as the inputs are. */
export function swigluBackward(plan: Plan, args: FusedSwigluBackwardArgs): { dgateUp: Tensor };
export function swigluBackward(
  plan: Plan,
  args: SwigluBackwardArgs | FusedSwigluBackwardArgs,
): { dgate: Tensor; dup: Tensor } | { dgateUp: Tensor } {
  const { rows, columns, tensors } = checked(args);
  expectShape(args.dy, [rows, columns]);
  const result = (width: number, given?: Tensor) => {
    const tensor = given ?? plan.scratch([rows, width], { label: "SwiGLU gradient" });
    expectShape(tensor, [rows, width]);
    return tensor;
  };
  if (args.gateUp) {
    const dgateUp = result(2 * columns, args.dgateUp);
    const code = [loadFusedCode, storeFusedCode, backwardCode];
    dispatch(plan, { label: "swiglu_backward", code, tensors: { ...tensors, dy: args.dy, dgate_up: dgateUp }, rows, columns });
    return { dgateUp };
  }
  const [dgate, dup] = [result(columns, args.dgate), result(columns, args.dup)];
  const code = [loadApartCode, storeApartCode, backwardCode];
  dispatch(plan, { label: "swiglu_backward", code, tensors: { ...tensors, dy: args.dy, dgate, dup }, rows, columns });
  return { dgate, dup };
}

/** Rows, numbers of a row of the result, and the input bindings. */
function checked(args: GateAndUp | FusedGateUp): { rows: number; columns: number; tensors: Record<string, Tensor> } {
  if (args.gateUp) {
    expectShape(args.gateUp, [-1, -1]);
    const [rows, width] = args.gateUp.shape;
    if (width % 2) throw new Error(`swiglu: "${args.gateUp.label}" has rows of ${width} numbers; expected gate and up of equal length`);
    return { rows, columns: width / 2, tensors: { gate_up: args.gateUp } };
  }
  expectShape(args.gate, [-1, -1]);
  expectShape(args.up, args.gate.shape);
  const [rows, columns] = args.gate.shape;
  return { rows, columns, tensors: { gate: args.gate, up: args.up } };
}

function dispatch(
  plan: Plan,
  op: { label: string; code: string[]; tensors: Record<string, Tensor>; rows: number; columns: number },
): void {
  const element: ElementType = elementFor(op.columns);
  const count = op.rows * op.columns / element.width;
  if (count === 0) return;
  plan.dispatch({ label: op.label, code: [element.code, flatCode, gateUpCode, ...op.code] }, {
    tensors: op.tensors,
    params: { count, elements: op.columns / element.width },
    workgroups: grid1d(count, 64),
  });
}
