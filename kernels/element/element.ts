/** The unit in which row-wise and element-wise kernels read f32 tensors: four numbers where all rows allow it, else one. */
import type { Tensor } from "../tensor.ts";
import scalarCode from "./element_scalar.wgsl" with { type: "text" };
import vec4Code from "./element_vec4.wgsl" with { type: "text" };

/** A kernel's `Element` type. */
export interface ElementType {
  /** Numbers of one element. */
  readonly width: 1 | 4;
  /** WGSL text that declares `alias Element` and `fn total(v: Element) -> f32`; join it in front of a kernel's text. */
  readonly code: string;
}

/**
 * The widest element that divides every length.
 *
 * @param lengths row lengths, strides and offsets in numbers
 */
export function elementFor(...lengths: number[]): ElementType {
  return lengths.every((length) => length % 4 === 0) ? { width: 4, code: vec4Code } : { width: 1, code: scalarCode };
}

/** Whether two tensors begin at the same place of the same memory. */
export function isSamePlace(a: Tensor, b: Tensor): boolean {
  return a.storage === b.storage && a.offset === b.offset;
}
