/** Attention's backward pass on subgroup matrices: its dispatches. */
import { grid1d } from "../grid.ts";
import type { Dispatch, Plan } from "../plan.ts";
import type { Tensor } from "../tensor.ts";
import type { AttentionBackwardArgs } from "./attention_backward.ts";
import rowsCode from "./backward_rows.wgsl" with { type: "text" };
import { expectMatrices } from "./attention_choice.ts";
import { centredKeys, lseOfCentre } from "./centred_keys.ts";
import { expectWorkgroupMemory } from "./operands.ts";
import { subgroupMatrixBackward } from "./subgroup_matrix_backward_wgsl.ts";
import { rowsOfWorkgroup, subgroupMatrixBackwardBytes } from "./subgroup_matrix_tile.ts";
import { GRADIENT_WGSL, PARAMS_WGSL, tileGroups } from "./text.ts";

/** Invocations of a workgroup of `backward_rows.wgsl`, and how many of them own a row. */
const [WORKGROUP, PARTS] = [64, 8];

/** Checked arguments of `attentionBackward`, and what it makes of them. */
export interface SubgroupMatrixBackwardArgs extends AttentionBackwardArgs {
  /** Parameters of attention kernels. */
  params: Record<string, number>;
  /** Operations of one product of rows and keys over all heads. */
  flops: number;
  /** Takes the gradient of q. */
  dq: Tensor;
  /** The dispatch for keys and values, but for what this variant adds. */
  ofKeys: Omit<Dispatch, "workgroups">;
  /** Name in profiles of the kernel for "dq" or "dkv". */
  label: (of: string) => string;
}

/**
 * Records what is needed of rows, dq, and dk and dv of every query head.
 *
 * @throws {Error} when the adapter has no such matrices, or too little workgroup memory
 */
export function recordSubgroupMatrixBackward(plan: Plan, args: SubgroupMatrixBackwardArgs): void {
  const { q, v, ranges, out, dout, heads, kvHeads, headDim, causal = false, flops, dq, ofKeys, label } = args;
  const { rows, keys } = args.params;
  const matrices = expectMatrices(plan.gpu, args);
  expectWorkgroupMemory(plan.gpu, subgroupMatrixBackwardBytes({ headDim, ...matrices }));
  // A row's gradients of scores add up to nothing, so that dq is the same with centred keys.
  const { k, centre, params } = centredKeys(plan, args);
  const lse = args.centre ? args.lse : plan.scratch([rows, heads], { label: "attention lse of centred keys" });
  if (!args.centre) lseOfCentre(plan, { ...args, centre, shifted: lse, direction: "subtract" });
  const ofRows = plan.scratch([rows, heads, 4], { dtype: "u32", label: "attention rows" });
  const norms = plan.scratch([rows * heads + keys * kvHeads], { label: "attention norms" });
  const constants = { WORKGROUP, PARTS, VECTORS: headDim / 4 };
  plan.dispatch({ label: `attention rows ${headDim}`, code: [PARAMS_WGSL, GRADIENT_WGSL, rowsCode], constants }, {
    tensors: { v, ranges, dy: dout, lse, y: out, of_rows: ofRows, norms },
    params,
    workgroups: grid1d(PARTS * norms.size, WORKGROUP),
  });
  const tile = rowsOfWorkgroup(matrices.subgroups);
  const operands = { q, k, v, ranges, dy: dout, of_rows: ofRows, norms };
  plan.dispatch({ label: label("dq"), code: subgroupMatrixBackward({ rows: "queries", headDim, causal, ...matrices }) }, {
    tensors: { ...operands, dq },
    params,
    workgroups: tileGroups({ rows, tile, heads, causal }),
    flops: 3 * flops,
  });
  plan.dispatch({ label: label("dkv"), code: subgroupMatrixBackward({ rows: "keys", headDim, causal, ...matrices }) }, {
    ...ofKeys,
    tensors: { ...operands, ...ofKeys.tensors },
    params: { ...ofKeys.params, k_offset: params.k_offset, k_stride: params.k_stride },
    workgroups: tileGroups({ rows: keys, tile, heads, causal }),
  });
}
