/** Rotary position embedding (Su et al. 2021, arXiv:2104.09864) on T rows of heads, for one or several position axes. */
import { elementFor, isSamePlace } from "../element/element.ts";
import { grid1d } from "../grid.ts";
import type { Plan } from "../plan.ts";
import { expectShape, type Tensor } from "../tensor.ts";
import inputCode from "./input.wgsl" with { type: "text" };
import inputInPlaceCode from "./input_in_place.wgsl" with { type: "text" };
import rotaryCode from "./rotary.wgsl" with { type: "text" };
import rotationsScalarCode from "./rotations_scalar.wgsl" with { type: "text" };
import rotationsVec4Code from "./rotations_vec4.wgsl" with { type: "text" };

/** Arguments of {@linkcode rotary}. */
export interface RotaryArgs {
  /** Rows of numbers f32: (T, heads · headDim), or wider rows of which `xOffset` and `xStride` pick that many. */
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
  /** First number of a row that is read, 0 when left out. */
  xOffset?: number;
  /** Numbers from row to row of x; the width of x when left out. */
  xStride?: number;
  /** Result (T, heads · headDim) f32; scratch when left out. The same tensor as `x`: x is turned in place, where it lies. */
  out?: Tensor;
  /** First number of a row that is written, 0 when left out (in place: `xOffset`). */
  outOffset?: number;
  /** Numbers from row to row of the result; the width of `out` when left out. */
  outStride?: number;
}

/**
 * Turns the pair (j, j + headDim/2) of every head by its angle: y_j = x_j cos − x_k sin, y_k = x_k cos + x_j sin ("rotate half").
 *
 * @returns the result, `out` where given
 * @throws {Error} when shapes do not fit together
 */
export function rotary(plan: Plan, args: RotaryArgs): Tensor {
  const { x, positions, table, axes, heads, inverse = false, xOffset = 0 } = args;
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
  const xStride = args.xStride ?? x.shape[1];
  const outOffset = args.outOffset ?? (inPlace ? xOffset : 0);
  const outStride = args.outStride ?? (inPlace ? xStride : y.shape[1]);
  if (inPlace && (outOffset !== xOffset || outStride !== xStride)) {
    throw new Error(`rotary: in place, the columns written (${outOffset}, ${outStride}) must be those read (${xOffset}, ${xStride})`);
  }
  expectColumns(x, { rows, width, offset: xOffset, stride: xStride });
  expectColumns(y, { rows, width, offset: outOffset, stride: outStride });
  if (rows * width === 0) return y;

  const element = elementFor(half, xOffset, xStride, outOffset, outStride);
  // Software: sines and cosines are looked up once for several heads. A real GPU: more invocations.
  const headsEach = plan.gpu.software ? Math.min(heads, 8) : 1;
  const headParts = Math.ceil(heads / headsEach);
  const count = rows * headParts * half / element.width;
  const rotationsCode = element.width === 4 ? rotationsVec4Code : rotationsScalarCode;
  plan.dispatch({
    label: "rotary",
    code: [element.code, rotaryCode, rotationsCode, inPlace ? inputInPlaceCode : inputCode],
    constants: { WIDTH: element.width, HALF: half / element.width, HEADS_EACH: headsEach },
  }, {
    tensors: { positions, table, frequency_axes: axes, y, ...(inPlace ? {} : { x }) },
    params: {
      count,
      head_parts: headParts,
      heads,
      axes: axisCount,
      x_offset: xOffset / element.width,
      x_stride: xStride / element.width,
      y_offset: outOffset / element.width,
      y_stride: outStride / element.width,
      sign: inverse ? -1 : 1,
    },
    workgroups: grid1d(count, 64),
  });
  return y;
}

/** Checks that `rows` slices of `width` numbers lie inside a tensor and apart from each other. */
function expectColumns(tensor: Tensor, slice: { rows: number; width: number; offset: number; stride: number }): void {
  const { rows, width, offset, stride } = slice;
  const end = rows ? offset + (rows - 1) * stride + width : 0;
  if (offset < 0 || (rows > 1 && stride < width) || end > tensor.size) {
    throw new Error(
      `rotary: ${rows} rows of ${width} numbers from ${offset} on, ${stride} apart, do not fit into "${tensor.label}" (${
        tensor.shape.join(", ")
      })`,
    );
  }
}
