/** GELU (Hendrycks and Gimpel 2016, arXiv:1606.08415), exact and in the quick form of CLIP. Forward only: the vision tower is frozen. */
import { elementFor, isSamePlace } from "../element/element.ts";
import flatCode from "../element/flat.wgsl" with { type: "text" };
import { grid1d } from "../grid.ts";
import type { Plan } from "../plan.ts";
import { expectShape, type Tensor } from "../tensor.ts";
import erfGeluCode from "./erf_gelu.wgsl" with { type: "text" };
import geluCode from "./gelu.wgsl" with { type: "text" };
import inputCode from "./input.wgsl" with { type: "text" };
import inputInPlaceCode from "./input_in_place.wgsl" with { type: "text" };
import quickGeluCode from "./quick_gelu.wgsl" with { type: "text" };

/** Arguments of {@linkcode gelu} and {@linkcode quickGelu}. */
export interface GeluArgs {
  /** Input f32 of any shape. */
  x: Tensor;
  /** Result f32 of the same shape; may be `x` itself. Scratch when left out. */
  out?: Tensor;
}

/** x · (1 + erf(x / √2)) / 2, with an absolute error below 1e-6. */
export function gelu(plan: Plan, args: GeluArgs): Tensor {
  return dispatch(plan, args, { label: "gelu", code: erfGeluCode });
}

/** x · sigmoid(1.702 x). */
export function quickGelu(plan: Plan, args: GeluArgs): Tensor {
  return dispatch(plan, args, { label: "quick_gelu", code: quickGeluCode });
}

function dispatch(plan: Plan, { x, out }: GeluArgs, activation: { label: string; code: string }): Tensor {
  const y = out ?? plan.scratch(x.shape, { label: activation.label });
  expectShape(x, y.shape);
  expectShape(y, x.shape);
  const inPlace = isSamePlace(x, y);
  const element = elementFor(y.size);
  const count = y.size / element.width;
  if (count === 0) return y;
  plan.dispatch({
    label: activation.label,
    code: [element.code, flatCode, activation.code, geluCode, inPlace ? inputInPlaceCode : inputCode],
  }, {
    tensors: { y, ...(inPlace ? {} : { x }) },
    params: { count },
    workgroups: grid1d(count, 64),
  });
  return y;
}
