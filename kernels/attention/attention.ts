/**
 * Grouped-query attention over key ranges without a matrix of scores: online softmax as in FlashAttention (Dao et al. 2022,
 * arXiv:2205.14135), several query heads to a key/value head as in GQA (Ainslie et al. 2023, arXiv:2305.13245).
 */
import type { Plan } from "../plan.ts";
import { expectShape, type Tensor } from "../tensor.ts";
import { type AttentionOperands, checkOperands, forwardVariant } from "./operands.ts";
import { softwareForward } from "./software_wgsl.ts";

/** Arguments of {@linkcode attention}. */
export interface AttentionArgs extends AttentionOperands {
  /** Result (R, H · hd) f32; scratch when left out. */
  out?: Tensor;
  /** Whether the logarithms of the sums of exponentials are wanted, for the backward pass. */
  lse?: boolean;
}

/** Results of {@linkcode attention}. */
export interface AttentionResult {
  /** (R, H · hd) f32: for every query and head the mean of the values, weighted by softmax(scale · q · k); zeros for an empty range. */
  out: Tensor;
  /** (R, H) f32: log Σ exp(scale · q · k) over the keys of the range, 0 for an empty one; there when asked for. */
  lse?: Tensor;
}

/** Software adapters: (row, head) pairs of one invocation. */
const SOFTWARE_ITEMS = 2;

/**
 * Every query's softmax-weighted mean of the values in its range of keys. Covers causal attention of packed sequences, a cache of keys
 * and values, full attention inside blocks of rows, and padding (an empty range); no matrix of scores is stored.
 *
 * @throws {Error} when shapes do not fit together
 */
export function attention(plan: Plan, args: AttentionArgs): AttentionResult {
  const { q, k, v, ranges, heads, kvHeads, headDim } = args;
  const { rows, group, params } = checkOperands(args);
  const out = args.out ?? plan.scratch([rows, heads * headDim], { label: "attention" });
  expectShape(out, [rows, heads * headDim]);
  const lse = args.lse ? plan.scratch([rows, heads], { label: "attention lse" }) : undefined;
  const tensors = { q, k, v, ranges, y: out, ...(lse ? { lse } : {}) };
  const variant = args.variant ?? forwardVariant(plan.gpu, rows);
  if (rows === 0) return { out, lse };
  if (variant === "software") {
    plan.dispatch({
      label: `attention software ${headDim}`,
      code: softwareForward({ headDim, group, items: SOFTWARE_ITEMS }, { lse: args.lse ?? false }),
    }, { tensors, params, workgroups: [Math.ceil(rows * group / (8 * SOFTWARE_ITEMS)), kvHeads] });
  }
  return { out, lse };
}
