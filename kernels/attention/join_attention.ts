/** Attention over two ranges of keys, from that over each. */
import flatCode from "../element/flat.wgsl" with { type: "text" };
import { grid1d } from "../grid.ts";
import type { Plan } from "../plan.ts";
import { expectShape, type Tensor } from "../tensor.ts";
import type { AttentionResult } from "./attention.ts";
import code from "./join_attention.wgsl" with { type: "text" };

/**
 * Joins attention over two ranges that have no key in common; neither may be empty. R queries, H heads, hd numbers of a head.
 *
 * @param first over one range, with `lse`; its `out` takes the result
 * @param second over the other, with `lse`
 * @returns (R, H · hd): the mean of the values of both ranges, weighted by the softmax over both
 * @throws {Error} when shapes do not fit together, or one has no `lse`
 */
export function joinAttention(plan: Plan, first: AttentionResult, second: AttentionResult): Tensor {
  const { out, lse } = first;
  if (!lse || !second.lse) throw new Error("joinAttention: both parts need their lse");
  expectShape(second.out, out.shape);
  expectShape(second.lse, lse.shape);
  const [rows, heads] = lse.shape;
  expectShape(out, [rows, -1]);
  const count = out.size / 4;
  plan.dispatch({ label: "attention join ranges", code: [code, flatCode] }, {
    tensors: { y: out, other: second.out, lse, other_lse: second.lse },
    params: { count, vectors: out.shape[1] / heads / 4 },
    workgroups: grid1d(count, 64),
  });
  return out;
}
