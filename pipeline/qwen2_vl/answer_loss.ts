/** Cross-entropy of the answer rows. Letters: A answer rows, D hidden, V rows of the head that count. */
import { crossEntropy, crossEntropyBackward } from "../../kernels/cross_entropy/cross_entropy.ts";
import { linear, linearInputGradient } from "../../kernels/linear/linear.ts";
import type { Matrix } from "../../kernels/linear/matrix.ts";
import type { Plan } from "../../kernels/plan.ts";
import type { Tensor } from "../../kernels/tensor.ts";

/** Logits (A, V rounded up to a multiple of 4); the columns from V on hold nothing. */
export function answerLogits(plan: Plan, args: { hidden: Tensor; head: Matrix }): Tensor {
  const { hidden, head } = args;
  const out = plan.scratch([hidden.shape[0], Math.ceil(head.rows / 4) * 4], { label: "logits" });
  return linear(plan, { x: hidden, weight: head, out });
}

/** Arguments of {@linkcode answerLoss}. */
export interface AnswerLossArgs {
  /** (A, D), behind the last norm */
  hidden: Tensor;
  /** (V, D) */
  head: Matrix;
  /** Token that should follow each answer row (A) u32. */
  targets: Tensor;
  /** Weight of each answer row in the loss (A); 0 for padding. */
  weights: Tensor;
  /** Where the loss is written (1). */
  loss: Tensor;
  /** Where each answer row's -log p is written (A). */
  nll?: Tensor;
}

/** Loss and the gradient of the hidden state (A, D); `dlogits` (A, V rounded up) is for heads that train. */
export function answerLoss(plan: Plan, args: AnswerLossArgs): { logits: Tensor; dlogits: Tensor; dhidden: Tensor } {
  const { hidden, head, targets, weights, loss, nll } = args;
  const logits = answerLogits(plan, { hidden, head });
  const vocabulary = head.rows;
  const { stats } = crossEntropy(plan, { logits, targets, weights, vocabulary, loss, nll });
  const dlogits = crossEntropyBackward(plan, { logits, targets, weights, vocabulary, stats });
  // A probability is tiny, but there are 150,000 of them beside the one of the answer; the product is bound by reading the head.
  return { logits, dlogits, dhidden: linearInputGradient(plan, { dy: dlogits, weight: head, precision: "f32" }) };
}
