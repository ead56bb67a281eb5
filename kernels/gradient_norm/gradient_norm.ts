/** Norm of all gradients together and the factor that clips them, as `torch.nn.utils.clip_grad_norm_`. */
import { flatPieces } from "../flat_pieces.ts";
import type { Plan } from "../plan.ts";
import { expectShape, type Tensor } from "../tensor.ts";
import normCode from "./gradient_norm.wgsl" with { type: "text" };
import squaresCode from "./sum_of_squares.wgsl" with { type: "text" };

/** Arguments of {@linkcode gradientNorm}. */
export interface GradientNormArgs {
  /** f32 tensors of any shapes. */
  gradients: readonly Tensor[];
  /** Largest norm; 0 or infinity turns clipping off. */
  maxNorm: number;
  /** (2); scratch when left out */
  out?: Tensor;
}

/** Workgroups that sum a tensor; the last dispatch adds their sums. */
const GROUPS = { software: 8, gpu: 1024 };

/** @returns (2): the norm, and min(1, maxNorm / (norm + 1e-6)) */
export function gradientNorm(plan: Plan, args: GradientNormArgs): Tensor {
  const { gradients, maxNorm } = args;
  const out = args.out ?? plan.scratch([2], { label: "gradient norm" });
  expectShape(out, [2]);
  const groups = plan.gpu.software ? GROUPS.software : GROUPS.gpu;
  const pieces = gradients.flatMap((gradient) =>
    flatPieces(plan.gpu, gradient.size).map(({ start, count }) => gradient.view([count], 4 * start))
  );
  const sums = plan.scratch([pieces.length, groups], { label: "sums of squares" });
  pieces.forEach((gradient, i) => {
    plan.dispatch({ label: "sum_of_squares", code: squaresCode }, {
      tensors: { gradient, sums },
      params: { size: gradient.size, first: i * groups },
      workgroups: [groups],
    });
  });
  plan.dispatch({ label: "gradient_norm", code: normCode }, {
    tensors: { sums, norm: out },
    params: { count: pieces.length * groups, max_norm: Number.isFinite(maxNorm) ? maxNorm : 0 },
    workgroups: [1],
  });
  return out;
}
