/** Rotary position embedding (Su et al. 2021, arXiv:2104.09864) on T rows of heads, for one or several position axes. */
import { elementFor, isSamePlace } from "../element/element.ts";
import flatCode from "../element/flat.wgsl" with { type: "text" };
import { grid1d } from "../grid.ts";
import type { Plan } from "../plan.ts";
import { expectShape, type Tensor } from "../tensor.ts";
import inputCode from "./input.wgsl" with { type: "text" };
import inputInPlaceCode from "./input_in_place.wgsl" with { type: "text" };
import rotaryCode from "./rotary.wgsl" with { type: "text" };
import rotationCode from "./rotation.wgsl" with { type: "text" };
import rotationsScalarCode from "./rotations_scalar.wgsl" with { type: "text" };
import rotationsVec4Code from "./rotations_vec4.wgsl" with { type: "text" };

const WORKGROUP = 64;

/** Arguments of {@linkcode rotary}. */
export interface RotaryArgs {
  /** Rows of numbers f32 (T, heads · headDim), or wider ones, whose first numbers count. */
  x: Tensor;
  /** Positions of a row on each axis (T, A) u32, all below the table's length. */
  positions: Tensor;
  /** Cosine and sine of every position and pair (positions, headDim / 2, 2) f32; see `rotary_table.ts`. */
  table: Tensor;
  /** Which of the A position columns turns a pair (headDim / 2) u32. */
  axes: Tensor;
  /** Number of heads. */
  heads: number;
  /** Turn back: the gradient of the input from that of the result. */
  inverse?: boolean;
  /** Result (T, heads · headDim) f32, or wider rows, of which the first numbers are written; scratch when left out. The same tensor as `x`: in place. */
  out?: Tensor;
}

/**
 * Turns the pair (j, j + headDim/2) of every head by its angle: y_j = x_j cos − x_k sin, y_k = x_k cos + x_j sin ("rotate half").
 *
 * @returns the result, `out` where given
 * @throws {Error} when shapes do not fit together
 */
export function rotary(plan: Plan, args: RotaryArgs): Tensor {
  const { x, positions, table, axes, heads, inverse = false } = args;
  expectShape(x, [-1, -1]);
  expectShape(positions, [-1, -1], "u32");
  expectShape(table, [-1, -1, 2]);
  const [rows, axisCount] = positions.shape;
  const half = table.shape[1];
  expectShape(axes, [half], "u32");
  const width = heads * 2 * half;
  const y = args.out ?? plan.scratch([rows, width], { label: "rotary" });
  expectShape(y, [-1, -1]);
  const inPlace = isSamePlace(x, y);
  for (const tensor of [x, y]) {
    if (tensor.shape[0] !== rows || tensor.shape[1] < width) expectShape(tensor, [rows, width]);
  }
  if (inPlace) expectShape(y, x.shape);
  if (rows * width === 0) return y;

  const element = elementFor(half, x.shape[1], y.shape[1]);
  // Software: sines and cosines are looked up once for several heads. A real GPU: more invocations.
  const headsEach = plan.gpu.software ? Math.min(heads, 8) : 1;
  const headParts = Math.ceil(heads / headsEach);
  const count = rows * headParts * half / element.width;
  const rotationsCode = element.width === 4 ? rotationsVec4Code : rotationsScalarCode;
  plan.dispatch({
    label: "rotary",
    code: [element.code, rotaryCode, rotationCode, rotationsCode, inPlace ? inputInPlaceCode : inputCode, flatCode],
    constants: { WIDTH: element.width, HALF: half / element.width, HEADS_EACH: headsEach, WORKGROUP },
  }, {
    tensors: { positions, table, frequency_axes: axes, y, ...(inPlace ? {} : { x }) },
    params: {
      count,
      head_parts: headParts,
      heads,
      axes: axisCount,
      x_stride: x.shape[1] / element.width,
      y_stride: y.shape[1] / element.width,
      sign: inverse ? -1 : 1,
    },
    workgroups: grid1d(count, WORKGROUP),
  });
  return y;
}
