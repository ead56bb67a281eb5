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
  // A real GPU: up to 256 lanes a row, at least four elements each. Software: eight rows fill the lanes of a core.
  const lanes = variant === "alone" ? 1 : Math.min(256, Math.max(32, 2 ** Math.ceil(Math.log2(elements / 4))));
  const workgroup = Math.max(lanes, 8);
  plan.dispatch({
    label: op.label,
    code: [element.code, placeCode, variant === "alone" ? reduceAloneCode : reduceWorkgroupCode, ...op.code],
    constants: { WORKGROUP: workgroup, LANES: lanes },
  }, { tensors: op.tensors, params: { rows, elements, columns, eps }, workgroups: grid1d(rows * lanes, workgroup) });
}
