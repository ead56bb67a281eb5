/** Floats to weights of 8 or 4 bits: a row in groups of {@linkcode GROUP}, an f16 scale to a group. Letters: R rows, K columns. */
import { elementFor } from "../element/element.ts";
import flatCode from "../element/flat.wgsl" with { type: "text" };
import { grid1d } from "../grid.ts";
import type { Matrix } from "../linear/matrix.ts";
import { storageWgsl } from "../linear/storage_wgsl.ts";
import { type FloatWeightType, GROUP, isQuantized, type QuantizedType } from "../linear/weight_types.ts";
import type { Plan } from "../plan.ts";
import { expectShape, type Tensor } from "../tensor.ts";
import scalarCode from "./element_scalar.wgsl" with { type: "text" };
import vec4Code from "./element_vec4.wgsl" with { type: "text" };
import code from "./quantize.wgsl" with { type: "text" };

/** How a group's scale is found: its largest number is divided by each of these, and the one with the least squared error is taken. */
export const SCALE_DIVISORS: Readonly<Record<QuantizedType, { first: number; step: number; count: number }>> = {
  /** Levels from -127 to 127. Other divisors gain nothing. */
  int8: { first: 127, step: 0, count: 1 },
  /** Levels from -8 to 7, the largest number at -8 or beyond. */
  int4: { first: 8, step: 0.5, count: 7 },
};

/** Arguments of {@linkcode quantizeRows}. */
export interface QuantizeRowsArgs {
  /** (R, K) f32, bf16 or f16 */
  source: Tensor;
  /** A quantised matrix of K columns. */
  target: Matrix;
  /** Row of the target that the source's first row becomes. */
  firstRow: number;
}

/**
 * Writes rows of a quantised matrix. Numbers are rounded to the nearest level. A group that holds a number that is not finite becomes NaN as
 * a whole, so that a damaged checkpoint shows.
 *
 * @throws {Error} when the matrix is none of quantised weights, or has no such rows
 */
export function quantizeRows(plan: Plan, args: QuantizeRowsArgs): void {
  const { source, target, firstRow } = args;
  const [rows, columns] = source.shape;
  expectShape(source, [-1, target.columns], source.dtype);
  if (firstRow + rows > target.rows) throw new Error(`rows ${firstRow} to ${firstRow + rows} of a matrix of ${target.rows} rows`);
  const perRow = Math.ceil(columns / GROUP);
  const element = elementFor(columns);
  for (const { start, rows: blockRows, tensor, scales } of target.blocks) {
    const first = Math.max(start, firstRow);
    const end = Math.min(start + blockRows, firstRow + rows);
    if (first >= end) continue;
    const { dtype } = tensor;
    if (!isQuantized(dtype) || !scales) throw new Error(`"${tensor.label}" is ${dtype}; expected int8 or int4`);
    const firstGroup = (first - start) * perRow;
    const endGroup = (end - start) * perRow;
    const firstWord = Math.floor(firstGroup / 2);
    const count = Math.ceil(endGroup / 2) - firstWord;
    const divisors = SCALE_DIVISORS[dtype];
    plan.dispatch({
      label: `quantize ${dtype}`,
      code: [element.code, sourceCode(source.dtype as FloatWeightType, element.width), code, flatCode],
      constants: {
        GROUP,
        WIDTH: element.width,
        BITS: dtype === "int8" ? 8 : 4,
        CANDIDATES: divisors.count,
        FIRST_DIVISOR: divisors.first,
        DIVISOR_STEP: divisors.step,
      },
    }, {
      tensors: { w: source, levels: tensor, scales },
      params: { count, first_word: firstWord, first_group: firstGroup, end_group: endGroup, source_row: first - firstRow, columns },
      workgroups: grid1d(count, 64),
    });
  }
}

/** WGSL of the source: `value`, an element of it. */
function sourceCode(dtype: FloatWeightType, width: 1 | 4): string {
  const { four, word, functions, scalar, read4 } = storageWgsl(dtype);
  return `${width === 4 ? vec4Code : scalarCode}
@group(0) @binding(1) var<storage, read> w: array<${width === 4 ? four : word}>;
${width === 4 ? functions : scalar}
fn value(i: u32) -> Element { return ${width === 4 ? read4("i") : "weight(i)"}; }`;
}
