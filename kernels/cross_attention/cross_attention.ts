/**
 * Cross-attention of learned queries to frozen features: PyTorch's MultiheadAttention with one head.
 * Letters: n queries, N features, D their size.
 *
 * The projections k = F·Wkᵀ + bk and v = F·Wvᵀ + bv of all features are never computed: q·kᵀ = (q·Wk)·Fᵀ + q·bk, the last term is the same
 * for a whole row of scores and so does nothing to the softmax; and since a row of weights A adds up to 1, A·v = (A·F)·Wvᵀ + bv. So only
 * n rows are projected, and the gradients of all weights are products of n rows. The key bias has no effect and a gradient of exactly 0.
 */
import { biasGradient, linear, linearInputGradient, linearWeightGradient } from "../linear/linear.ts";
import { asMatrix } from "../linear/matrix.ts";
import type { Plan } from "../plan.ts";
import { rowSoftmax, rowSoftmaxBackward } from "../softmax/softmax.ts";
import { expectShape, type Tensor } from "../tensor.ts";

/** Parameters, all f32. In PyTorch's names: in_proj_weight = [wq; wk; wv], in_proj_bias = [bq; bk; bv], out_proj.weight = wo, out_proj.bias = bo. */
export interface CrossAttentionParameters {
  /** (n, D) */
  readonly queries: Tensor;
  /** (D, D) */
  readonly wq: Tensor;
  /** (D, D) */
  readonly wk: Tensor;
  /** (D, D) */
  readonly wv: Tensor;
  /** (D, D) */
  readonly wo: Tensor;
  /** (D) */
  readonly bq: Tensor;
  /** (D) */
  readonly bv: Tensor;
  /** (D) */
  readonly bo: Tensor;
}

/** What the backward pass needs of the forward pass. */
export interface CrossAttentionTrace {
  /** (N, D) */
  readonly features: Tensor;
  /** q·Wqᵀ + bq (n, D) */
  readonly projected: Tensor;
  /** softmax (n, N) */
  readonly attention: Tensor;
  /** A·F (n, D) */
  readonly context: Tensor;
  /** (A·F)·Wvᵀ + bv (n, D) */
  readonly values: Tensor;
}

/** Arguments of {@linkcode crossAttention}. */
export interface CrossAttentionArgs {
  /** The module. */
  parameters: CrossAttentionParameters;
  /** (N, D) */
  features: Tensor;
  /** (n, D); scratch when left out */
  out?: Tensor;
  /** Where the weights go (n, N); scratch when left out */
  attention?: Tensor;
}

/** z (n, D) = softmax(q·kᵀ / sqrt(D))·v·Woᵀ + bo, and what the backward pass needs; `trace.attention` (n, N) holds the weights. */
export function crossAttention(plan: Plan, args: CrossAttentionArgs): { z: Tensor; trace: CrossAttentionTrace } {
  const { parameters: p, features } = args;
  const [, size] = features.shape;
  expectShape(features, [-1, -1]);
  expectShape(p.queries, [-1, size]);
  const projected = linear(plan, { x: p.queries, weight: asMatrix(p.wq), bias: p.bq });
  const keys = linearInputGradient(plan, { dy: projected, weight: asMatrix(p.wk) });
  const scores = linear(plan, { x: keys, weight: asMatrix(features) });
  const attention = rowSoftmax(plan, { x: scores, scale: 1 / Math.sqrt(size), out: args.attention });
  const context = linearInputGradient(plan, { dy: attention, weight: asMatrix(features) });
  const values = linear(plan, { x: context, weight: asMatrix(p.wv), bias: p.bv });
  const z = linear(plan, { x: values, weight: asMatrix(p.wo), bias: p.bo, out: args.out });
  return { z, trace: { features, projected, attention, context, values } };
}

/** Arguments of {@linkcode crossAttentionBackward}. */
export interface CrossAttentionBackwardArgs {
  /** The module. */
  parameters: CrossAttentionParameters;
  /** Gradients of the same shapes; they are added to. */
  gradients: CrossAttentionParameters;
  /** Gradient of z (n, D). */
  dz: Tensor;
  /** From the forward pass. */
  trace: CrossAttentionTrace;
}

/** Gradients of all parameters. Adds. */
export function crossAttentionBackward(plan: Plan, args: CrossAttentionBackwardArgs): void {
  const { parameters: p, gradients: g, dz, trace } = args;
  const { features, projected, attention, context, values } = trace;
  const frozen = asMatrix(features);
  linearWeightGradient(plan, { dy: dz, x: values, dweight: g.wo, dbias: g.bo });
  const dvalues = linearInputGradient(plan, { dy: dz, weight: asMatrix(p.wo) });
  linearWeightGradient(plan, { dy: dvalues, x: context, dweight: g.wv, dbias: g.bv });
  const dcontext = linearInputGradient(plan, { dy: dvalues, weight: asMatrix(p.wv) });
  const dattention = linear(plan, { x: dcontext, weight: frozen });
  const dscores = rowSoftmaxBackward(plan, { p: attention, dp: dattention, scale: 1 / Math.sqrt(features.shape[1]) });
  const dkeys = linearInputGradient(plan, { dy: dscores, weight: frozen });
  linearWeightGradient(plan, { dy: projected, x: dkeys, dweight: g.wk });
  const dprojected = linear(plan, { x: dkeys, weight: asMatrix(p.wk) });
  linearWeightGradient(plan, { dy: dprojected, x: p.queries, dweight: g.wq });
  biasGradient(plan, { dy: dprojected, dbias: g.bq });
  const dqueries = linearInputGradient(plan, { dy: dprojected, weight: asMatrix(p.wq) });
  addTo(plan, { from: dqueries, to: g.queries });
}

/** to += from, as the bias gradient of one row. */
function addTo(plan: Plan, { from, to }: { from: Tensor; to: Tensor }): void {
  biasGradient(plan, { dy: from.view([1, from.size]), dbias: to.view([to.size]) });
}
