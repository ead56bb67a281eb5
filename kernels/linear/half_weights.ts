/** Weights in bf16 that are kept in f16, for kernels that would round them to it each time they are read. */
import type { Gpu } from "../gpu.ts";
import { Plan } from "../plan.ts";
import { Tensor } from "../tensor.ts";
import code from "./half_weights.wgsl" with { type: "text" };
import type { Matrix, MatrixBlock } from "./matrix.ts";
import { takesSubgroupMatrices } from "./subgroup_matrix_choice.ts";
import { mayLeaveHalf } from "./takes_half.ts";
import type { WeightType } from "./weight_types.ts";

const WORKGROUP = 256;
/** Workgroups of a block, of which each takes a part. */
const MOST_GROUPS = 4096;

/** The type in which weights are kept where nobody asked for one: tensor cores take f16, and have nothing left to convert then. */
export function keptType(gpu: Gpu, dtype: WeightType): WeightType {
  return dtype === "bf16" && takesSubgroupMatrices(gpu, { dtype }) ? "f16" : dtype;
}

/**
 * Rounds the blocks of matrices to the type of {@linkcode keptType}, but for those that may have weights beyond f16's range (see
 * `MatrixBlock.largest`). bf16 numbers from 2⁻¹⁴ on are f16 numbers; smaller ones are off by 2⁻²⁵ at most, as they are in products on tensor cores.
 */
export function keepInHalf(gpu: Gpu, matrices: readonly Matrix[]): void {
  roundToHalf(
    gpu,
    matrices.flatMap(({ blocks }) => blocks).filter(({ tensor, largest }) =>
      !mayLeaveHalf(largest) && keptType(gpu, tensor.dtype as WeightType) !== tensor.dtype
    ),
  );
}

/** Rounds blocks of bf16 weights to f16, in the same memory. */
export function roundToHalf(gpu: Gpu, blocks: readonly MatrixBlock[]): void {
  using plan = new Plan(gpu, "weights to f16");
  for (const block of blocks) {
    const { tensor: { storage, shape, offset, bytes } } = block;
    const words = bytes / 4;
    plan.dispatch({ label: "weights to f16", code }, {
      tensors: { w: new Tensor(storage, [words], "u32", offset) },
      params: { words },
      workgroups: [Math.min(MOST_GROUPS, Math.ceil(words / WORKGROUP))],
    });
    block.tensor = new Tensor(storage, shape, "f16", offset);
  }
  plan.run();
}
