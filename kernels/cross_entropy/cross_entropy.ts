/** Softmax cross-entropy of answer rows. Letters: A rows, V columns that count, W ≥ V columns of the logits. */
import type { Plan } from "../plan.ts";
import { expectShape, type Tensor } from "../tensor.ts";
import backwardCode from "./cross_entropy_backward.wgsl" with { type: "text" };
import lossCode from "./cross_entropy_loss.wgsl" with { type: "text" };
import partsCode from "./cross_entropy_parts.wgsl" with { type: "text" };

/** Arguments of {@linkcode crossEntropy}. */
export interface CrossEntropyArgs {
  /** (A, W) f32 */
  logits: Tensor;
  /** The right column of each row (A) u32. */
  targets: Tensor;
  /** Weight of each row in the loss (A) f32; 0 for padding. */
  weights: Tensor;
  /** V; W when left out. */
  vocabulary?: number;
  /** -log softmax(logits)[target] (A); scratch when left out. */
  nll?: Tensor;
  /** Sum of weights · nll (1); scratch when left out. */
  loss?: Tensor;
}

/** Columns that one invocation goes through, so that nothing depends on V: a row's maximum and sum come from parts. */
const COLUMNS_PER_PART = { software: 512, gpu: 128 };

/** Loss of the rows. @returns `stats` (A, 2) holds each row's maximum and log of the sum, for the backward pass */
export function crossEntropy(plan: Plan, args: CrossEntropyArgs): { nll: Tensor; loss: Tensor; stats: Tensor } {
  const { logits, targets, weights } = args;
  const [rows, width] = logits.shape;
  const columns = args.vocabulary ?? width;
  expectShape(logits, [-1, -1]);
  expectShape(targets, [rows], "u32");
  expectShape(weights, [rows]);
  if (columns > width) throw new Error(`crossEntropy: ${columns} columns count, the logits have ${width}`);
  const nll = args.nll ?? plan.scratch([rows], { label: "negative log-likelihood" });
  const loss = args.loss ?? plan.scratch([1], { label: "loss" });
  const per = plan.gpu.software ? COLUMNS_PER_PART.software : COLUMNS_PER_PART.gpu;
  const count = Math.ceil(columns / per);
  const parts = plan.scratch([rows, count, 2], { label: "parts of a softmax" });
  plan.dispatch({ label: "cross_entropy_parts", code: partsCode }, {
    tensors: { logits, parts },
    params: { rows, width, columns, per, count },
    workgroups: [Math.ceil(count / 8), rows],
  });
  const stats = plan.scratch([rows, 2], { label: "statistics of a softmax" });
  plan.dispatch({ label: "cross_entropy_loss", code: lossCode }, {
    tensors: { logits, targets, weights, parts, nll, loss, stats },
    params: { rows, width, columns, count },
    workgroups: [1],
  });
  return { nll, loss, stats };
}

/** Arguments of {@linkcode crossEntropyBackward}. */
export interface CrossEntropyBackwardArgs extends Pick<CrossEntropyArgs, "logits" | "targets" | "weights" | "vocabulary"> {
  /** From the forward pass (A, 2). */
  stats: Tensor;
  /** (A, W); scratch when left out */
  out?: Tensor;
}

/** dlogits (A, W) = weight · (softmax − one-hot); zero from column V on. Assigns. */
export function crossEntropyBackward(plan: Plan, args: CrossEntropyBackwardArgs): Tensor {
  const { logits, targets, weights, stats } = args;
  const [rows, width] = logits.shape;
  const out = args.out ?? plan.scratch([rows, width], { label: "gradient of the logits" });
  expectShape(stats, [rows, 2]);
  expectShape(out, [rows, width]);
  plan.dispatch({ label: "cross_entropy_backward", code: backwardCode }, {
    tensors: { logits, targets, weights, stats, dlogits: out },
    params: { width, columns: args.vocabulary ?? width },
    workgroups: [Math.ceil(width / 256), rows],
  });
  return out;
}
