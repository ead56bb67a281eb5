/** Element-wise sum of two tensors. */
import { elementFor, isSamePlace } from "../element/element.ts";
import flatCode from "../element/flat.wgsl" with { type: "text" };
import { grid1d } from "../grid.ts";
import type { Plan } from "../plan.ts";
import { expectShape, type Tensor } from "../tensor.ts";
import addCode from "./add.wgsl" with { type: "text" };
import inputCode from "./input.wgsl" with { type: "text" };
import inputInPlaceCode from "./input_in_place.wgsl" with { type: "text" };

/** Arguments of {@linkcode add}. */
export interface AddArgs {
  /** First summand f32. */
  a: Tensor;
  /** Second summand f32, of the same shape. */
  b: Tensor;
  /** Sum f32, of the same shape; may be `a` or `b` themselves. Scratch when left out. */
  out?: Tensor;
}

/** a + b. */
export function add(plan: Plan, args: AddArgs): Tensor {
  const y = args.out ?? plan.scratch(args.a.shape, { label: "sum" });
  const [a, b] = isSamePlace(args.b, y) ? [args.b, args.a] : [args.a, args.b];
  for (const tensor of [a, b, y]) expectShape(tensor, args.a.shape);
  const inPlace = isSamePlace(a, y);
  if (isSamePlace(b, y)) throw new Error(`add: "${y.label}" cannot be both summands and the sum; give another out`);
  const element = elementFor(y.size);
  const count = y.size / element.width;
  if (count === 0) return y;
  plan.dispatch({ label: "add", code: [element.code, flatCode, addCode, inPlace ? inputInPlaceCode : inputCode] }, {
    tensors: { b, y, ...(inPlace ? {} : { a }) },
    params: { count },
    workgroups: grid1d(count, 64),
  });
  return y;
}
