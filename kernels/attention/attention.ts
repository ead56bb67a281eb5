/**
 * Grouped-query attention over key ranges without a matrix of scores: online softmax as in FlashAttention (Dao et al. 2022,
 * arXiv:2205.14135), several query heads to a key/value head as in GQA (Ainslie et al. 2023, arXiv:2305.13245).
 */
import type { Plan } from "../plan.ts";
import { expectShape, type Tensor } from "../tensor.ts";
import { expectMatrices, forwardColumns, forwardKernel } from "./attention_choice.ts";
import { decodeBytes, decodeJoin, decodeParts, PART } from "./decode_wgsl.ts";
import { centredKeysInHalf, lseOfCentre } from "./centred_keys.ts";
import { type AttentionKernel, type AttentionOperands, checkOperands, expectWorkgroupMemory } from "./operands.ts";
import { recordTiledHalf } from "./tiled_half.ts";
import { softwareForward, softwareShape } from "./software_wgsl.ts";
import { rowsOfWorkgroup, subgroupMatrixBytes } from "./subgroup_matrix_tile.ts";
import { subgroupMatrixForward } from "./subgroup_matrix_wgsl.ts";
import { tileGroups } from "./text.ts";
import { tiledForward } from "./tiled_forward_wgsl.ts";
import { TILE, tiledBytes } from "./tiled_wgsl.ts";

/** Arguments of {@linkcode attention}. */
export interface AttentionArgs extends AttentionOperands {
  /** Result (R, H · hd) f32; scratch when left out. */
  out?: Tensor;
  /**
   * Whether the logarithms of the sums of exponentials are wanted; or the tensor (R, H) f32 that takes them. `centred`: for the backward pass, which
   * takes those of keys less their centre as well, so that kernels that round centred keys need not undo it.
   */
  lse?: boolean | "centred" | Tensor;
}

/** Results of {@linkcode attention}. */
export interface AttentionResult {
  /** (R, H · hd) f32: for every query and head the mean of the values, weighted by softmax(scale · q · k); zeros for an empty range. */
  out: Tensor;
  /** (R, H) f32: log Σ exp(scale · q · k) over the keys of the range, 0 for an empty one; there when asked for. */
  lse?: Tensor;
  /** (KVH, hd) f32: what was subtracted from the keys in `lse`; only where `centred` ones were asked for, and a kernel made them. */
  centre?: Tensor;
}

/**
 * Every query's softmax-weighted mean of the values in its range of keys. Covers causal attention of packed sequences, a cache of keys
 * and values, full attention inside blocks of rows, and padding (an empty range); no matrix of scores is stored.
 *
 * @throws {Error} when shapes do not fit together
 */
export function attention(plan: Plan, args: AttentionArgs): AttentionResult {
  const { q, k, v, ranges, heads, kvHeads, headDim } = args;
  const { rows, keys, group, params, flops } = checkOperands(args);
  const out = args.out ?? plan.scratch([rows, heads * headDim], { label: "attention" });
  expectShape(out, [rows, heads * headDim]);
  const lse = args.lse === true || args.lse === "centred" ? plan.scratch([rows, heads], { label: "attention lse" }) : args.lse || undefined;
  if (lse) expectShape(lse, [rows, heads]);
  const bytes = decodeBytes({ headDim, group });
  const splits = Math.max(1, Math.ceil(keys / PART));
  const partBytes = 4 * rows * heads * splits * headDim;
  const { precision, causal = false } = args;
  const kernel: AttentionKernel = args.variant
    ? { ...args, variant: args.variant }
    : forwardKernel(plan.gpu, { rows, bytes, partBytes, headDim, precision, causal, lse: !!lse });
  const { variant } = kernel;
  if (rows === 0) return { out, lse };
  const operands = { q, k, v, ranges };
  const results = { y: out, ...(lse ? { lse } : {}) };
  const options = { lse: lse !== undefined, causal };
  const label = `attention ${variant} ${headDim}`;
  if (variant === "software") {
    const shape = softwareShape(headDim, group);
    plan.dispatch({ label, code: softwareForward(shape, options) }, {
      tensors: { ...operands, ...results },
      params,
      workgroups: [Math.ceil(rows * group / (8 * shape.items)), kvHeads],
      flops: 2 * flops,
    });
  } else if (variant === "tiled") {
    const columns = kernel.columns ?? forwardColumns(plan.gpu, headDim);
    expectWorkgroupMemory(plan.gpu, tiledBytes(columns));
    plan.dispatch({ label, code: tiledForward(headDim, { ...options, columns }) }, {
      tensors: { ...operands, ...results },
      params,
      workgroups: tileGroups({ rows, tile: TILE, heads, causal }),
      flops: 2 * flops,
    });
  } else if (variant === "tiled_half") {
    if (lse) throw new Error('attention: the variant "tiled_half" computes no lse; use "tiled"');
    recordTiledHalf(plan, { ...operands, out, headDim, causal, params, label, flops: 2 * flops });
  } else if (variant === "subgroup_matrix") {
    const matrices = expectMatrices(plan.gpu, { matrices: args.matrices, subgroups: kernel.subgroups });
    expectWorkgroupMemory(plan.gpu, subgroupMatrixBytes({ headDim, ...matrices }));
    const { centre, ...half } = centredKeysInHalf(plan, { k, v, ranges, headDim, params });
    const stays = !lse || args.lse === "centred";
    const lseOfCentred = stays ? lse : plan.scratch([rows, heads], { label: "attention lse of centred keys" });
    plan.dispatch({ label, code: subgroupMatrixForward({ headDim, ...options, ...matrices }) }, {
      tensors: {
        ...operands,
        ...half,
        y: out,
        ...(lseOfCentred && { lse: lseOfCentred }),
      },
      params,
      workgroups: tileGroups({ rows, tile: rowsOfWorkgroup(matrices.subgroups), heads, causal }),
      flops: 2 * flops,
    });
    if (stays) return { out, lse, centre: lse && centre };
    lseOfCentre(plan, { q, centre, ranges, lse: lseOfCentred!, shifted: lse, headDim, params, direction: "add" });
  } else {
    expectWorkgroupMemory(plan.gpu, bytes);
    const parts = plan.scratch([rows * heads * splits, headDim], { label: "attention parts" });
    const sums = plan.scratch([rows * heads * splits, 2], { label: "attention sums" });
    plan.dispatch({ label, code: decodeParts({ headDim, group }) }, {
      tensors: { ...operands, parts, sums },
      params,
      workgroups: [splits, kvHeads, rows],
      flops: 2 * flops,
    });
    plan.dispatch({ label: `attention join ${headDim}`, code: decodeJoin({ headDim }, options) }, {
      tensors: { ranges, parts, sums, ...results },
      params,
      workgroups: [Math.ceil(rows * heads * headDim / 4 / 64)], // of few rows: never too many
    });
  }
  return { out, lse };
}
