/**
 * AdamW with block-wise 8-bit moments (Dettmers et al. 2021, arXiv:2110.02861), as `bitsandbytes.optim.AdamW8bit` keeps them: blocks of
 * 256 numbers, each with its largest magnitude as scale, and one code per number into a table of 256 values ({@linkcode dynamicMap}).
 * The parameters are updated with the new moments before these are quantised, each to the nearest value (of two equally near, the lower).
 */
import { flatPieces } from "../flat_pieces.ts";
import type { Gpu } from "../gpu.ts";
import { grid1d } from "../grid.ts";
import type { Plan } from "../plan.ts";
import { expectShape, type Tensor } from "../tensor.ts";
import { dynamicMap, zeroCode } from "./dynamic_map.ts";
import code from "./adamw_8bit.wgsl" with { type: "text" };

/** Numbers that share a scale. */
const BLOCK = 256;

/** Tensors with fewer numbers keep 32-bit moments. */
const SMALLEST = 4096;

/** Moments of one parameter tensor. Every value is a tensor; together they are what a checkpoint must hold. */
export interface AdamW8bitState {
  /** Codes of the first moment, u32 (⌈size / 4⌉), four in a word, the lowest byte first. */
  mCodes: Tensor;
  /** Codes of the second moment, packed likewise. */
  vCodes: Tensor;
  /** Scales of the first moment, f32 (⌈size / 256⌉). */
  mScale: Tensor;
  /** Scales of the second moment, f32 (⌈size / 256⌉). */
  vScale: Tensor;
  /** Values of the first moment's codes, f32 (256). */
  signedMap: Tensor;
  /** Values of the second moment's codes, f32 (256). */
  unsignedMap: Tensor;
}

/** Arguments of {@linkcode adamW8bit}. */
export interface AdamW8bitArgs {
  /** f32, updated in place */
  parameter: Tensor;
  /** Its gradient, of the same size. */
  gradient: Tensor;
  /** Moments from {@linkcode adamW8bitState}, updated in place. */
  state: AdamW8bitState;
  /** (8), see `hyperValues` of AdamW; the host writes it before each run */
  hyper: Tensor;
  /** Result of `gradientNorm` (2): the second number scales the gradient. */
  norm: Tensor;
  /** One invocation per block (`"serial"`) or one workgroup (`"parallel"`); chosen by the adapter when left out. */
  variant?: "serial" | "parallel";
}

/**
 * Whether a tensor is too small for 8-bit moments.
 *
 * @param size its number of elements
 */
export function keeps32Bit(size: number): boolean {
  return size < SMALLEST;
}

/**
 * Moments that all stand for 0.
 *
 * @param options.size number of elements of the parameter tensor
 * @returns tensors that the caller destroys
 */
export function adamW8bitState(gpu: Gpu, options: { size: number }): AdamW8bitState {
  const { size } = options;
  const words = Math.ceil(size / 4);
  const blocks = Math.ceil(size / BLOCK);
  const codes = (signed: boolean) => new Uint32Array(words).fill(zeroCode({ signed }) * 0x01010101);
  return {
    mCodes: gpu.tensor([words], { dtype: "u32", data: codes(true), label: "codes of the first moment" }),
    vCodes: gpu.tensor([words], { dtype: "u32", data: codes(false), label: "codes of the second moment" }),
    mScale: gpu.tensor([blocks], { label: "scales of the first moment" }),
    vScale: gpu.tensor([blocks], { label: "scales of the second moment" }),
    signedMap: gpu.tensor([256], { data: dynamicMap({ signed: true }), label: "values of signed codes" }),
    unsignedMap: gpu.tensor([256], { data: dynamicMap({ signed: false }), label: "values of unsigned codes" }),
  };
}

/**
 * Records an update.
 *
 * @throws {Error} when the sizes of parameter, gradient and moments do not belong together
 */
export function adamW8bit(plan: Plan, args: AdamW8bitArgs): void {
  const { parameter, gradient, state, hyper, norm, variant = plan.gpu.software ? "serial" : "parallel" } = args;
  const { size } = parameter;
  if (gradient.size !== size) throw new Error(`adamW8bit: "${gradient.label}" has ${gradient.size} numbers, the parameter ${size}`);
  const words = Math.ceil(size / 4);
  const blocks = Math.ceil(size / BLOCK);
  for (const codes of [state.mCodes, state.vCodes]) expectShape(codes, [words], "u32");
  for (const scales of [state.mScale, state.vScale]) expectShape(scales, [blocks]);
  for (const map of [state.signedMap, state.unsignedMap]) expectShape(map, [256]);
  expectShape(hyper, [8]);
  expectShape(norm, [2]);
  const [workgroup, lanes] = variant === "serial" ? [8, 1] : [64, 64];
  for (const { start, count } of flatPieces(plan.gpu, size)) {
    const own = { words: Math.ceil(count / 4), blocks: Math.ceil(count / BLOCK) };
    const codes = (tensor: Tensor) => tensor.view([own.words], start);
    const scales = (tensor: Tensor) => tensor.view([own.blocks], 4 * start / BLOCK);
    plan.dispatch({ label: "adamw_8bit", code, constants: { WORKGROUP: workgroup, LANES: lanes } }, {
      tensors: {
        ...{ ...state, hyper, norm },
        ...{ parameter: parameter.view([count], 4 * start), gradient: gradient.view([count], 4 * start) },
        ...{ mCodes: codes(state.mCodes), vCodes: codes(state.vCodes), mScale: scales(state.mScale), vScale: scales(state.vScale) },
      },
      params: { size: count, ...own },
      workgroups: grid1d(own.blocks * lanes, workgroup),
    });
  }
}
