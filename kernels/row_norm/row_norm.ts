/** What the row-wise norms share: who works on which part of a row, and how the row's sums come together. */
import { elementFor } from "../element/element.ts";
import { grid1d } from "../grid.ts";
import type { Plan } from "../plan.ts";
import type { Tensor } from "../tensor.ts";
import placeCode from "./place.wgsl" with { type: "text" };
import reduceAloneCode from "./reduce_alone.wgsl" with { type: "text" };
import reduceWorkgroupCode from "./reduce_workgroup.wgsl" with { type: "text" };

/** Who computes a row: one invocation alone, or several of a workgroup together. */
export type RowVariant = "alone" | "shared";

/** Arguments of {@linkcode dispatchRowNorm}. */
export interface RowNormDispatch {
  /** Name in error messages and profiles. */
  label: string;
  /** The op's WGSL texts, without those that this function adds (Element, Place, Params, reduce). */
  code: readonly string[];
  /** Tensors by binding names. */
  tensors: Readonly<Record<string, Tensor>>;
  /** Rows (T). */
  rows: number;
  /** Numbers of a row (D). */
  columns: number;
  /** Added to the variance or mean square. */
  eps: number;
  /** Override of the choice by adapter. */
  variant?: RowVariant;
}

/** Records a row-wise norm. */
export function dispatchRowNorm(plan: Plan, op: RowNormDispatch): void {
  const { rows, columns, eps } = op;
  if (rows * columns === 0) return;
  const element = elementFor(columns);
  const elements = columns / element.width;
  const variant = op.variant ?? (plan.gpu.software ? "alone" : "shared");
  // Shared: up to 256 lanes a row, about four elements each. Alone: eight rows fill the lanes of a core, fewer are split between two cores.
  const lanes = variant === "alone" ? 1 : powerOfTwo(elements / 4, { least: 32, most: 256 });
  const workgroup = variant === "alone" ? powerOfTwo(rows / 2, { least: 1, most: 8 }) : lanes;
  plan.dispatch({
    label: op.label,
    code: [element.code, placeCode, variant === "alone" ? reduceAloneCode : reduceWorkgroupCode, ...op.code],
    constants: { WORKGROUP: workgroup, LANES: lanes },
  }, { tensors: op.tensors, params: { rows, elements, columns, eps }, workgroups: grid1d(rows * lanes, workgroup) });
}

/** The next power of two from `value` on, within limits that are powers of two. */
function powerOfTwo(value: number, { least, most }: { least: number; most: number }): number {
  return Math.min(most, Math.max(least, 2 ** Math.ceil(Math.log2(value))));
}
