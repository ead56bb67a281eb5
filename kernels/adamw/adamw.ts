/** AdamW (Loshchilov and Hutter 2019, arXiv:1711.05101), as `torch.optim.AdamW` computes it. */
import { flatPieces } from "../flat_pieces.ts";
import type { Plan } from "../plan.ts";
import { expectShape, type Tensor } from "../tensor.ts";
import code from "./adamw.wgsl" with { type: "text" };

/** Arguments of {@linkcode adamW}. */
export interface AdamWArgs {
  /** f32, updated in place */
  parameter: Tensor;
  /** Its gradient, of the same size. */
  gradient: Tensor;
  /** First moment, updated in place. */
  m: Tensor;
  /** Second moment, updated in place. */
  v: Tensor;
  /** (8), see {@linkcode hyperValues}; the host writes it before each run */
  hyper: Tensor;
  /** Result of `gradientNorm` (2): the second number scales the gradient. */
  norm: Tensor;
}

/** Values of {@linkcode hyperValues}. */
export interface HyperOptions {
  /** Rate of this update. */
  learningRate: number;
  /** Decay rates of the moments. */
  betas: readonly [number, number];
  /** Added to the root of the second moment. */
  eps: number;
  /** Decoupled weight decay. */
  weightDecay: number;
  /** Number of this update of these parameters, from 1. */
  step: number;
}

/** What the update reads: rate, betas, eps, rate · decay, 1 − β₁ᵗ, √(1 − β₂ᵗ), 1 − β₂. */
export function hyperValues(options: HyperOptions): Float32Array<ArrayBuffer> {
  const { learningRate, betas: [b1, b2], eps, weightDecay, step } = options;
  return Float32Array.of(learningRate, b1, b2, eps, learningRate * weightDecay, 1 - b1 ** step, Math.sqrt(1 - b2 ** step), 1 - b2);
}

/** Records an update. A tensor's last numbers share a vec4 with padding up to the next multiple of 16 bytes, which is written, too. */
export function adamW(plan: Plan, args: AdamWArgs): void {
  const { parameter, gradient, m, v, hyper, norm } = args;
  for (const tensor of [gradient, m, v]) {
    if (tensor.size !== parameter.size) {
      throw new Error(`adamW: "${tensor.label}" has ${tensor.size} numbers, the parameter ${parameter.size}`);
    }
  }
  expectShape(hyper, [8]);
  expectShape(norm, [2]);
  for (const { start, count } of flatPieces(plan.gpu, parameter.size)) {
    const vectors = Math.ceil(count / 4);
    const lanes = Math.min(plan.gpu.software ? 16 : 65535, Math.ceil(vectors / 64));
    const own = (tensor: Tensor) => tensor.view([count], 4 * start);
    plan.dispatch({ label: "adamw", code }, {
      tensors: { parameter: own(parameter), gradient: own(gradient), m: own(m), v: own(v), hyper, norm },
      params: { vectors, stride: lanes * 64 },
      workgroups: [lanes],
    });
  }
}
