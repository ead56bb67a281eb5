/** What a run will hold on the GPU, from a checkpoint's sizes alone. */
import type { Qwen2VlConfig } from "./qwen2_vl/config.ts";
import { expectedTensors } from "./qwen2_vl/weights.ts";

/** Bytes on the GPU. */
export interface MemoryEstimate {
  /** Weights of the base model. */
  weights: number;
  /** Everything in stage 1, one sample at a time. */
  stage1: number;
  /** Everything in stage 2. */
  stage2: number;
  /** Everything in an evaluation. */
  evaluation: number;
}

/** Options of {@linkcode memoryEstimate}. */
export interface MemoryEstimateOptions {
  /** Bytes of a number in the matrices: 4 for f32, 2 for bf16 and f16. */
  bytesPerWeight: number;
  /** Visual tokens of a picture; 391 when left out, those of 640×480. */
  visualTokens?: number;
  /** Views with aspect modules; 6 when left out. */
  views?: number;
  /** Whether each layer is computed again in the backward pass. */
  recompute?: boolean;
}

/** Tokens of the texts around a picture, with the prompt rows twice. */
const TEXT_TOKENS = 160;

/** Estimates of the largest allocations: weights, what a forward pass keeps for the backward pass, modules with gradient and moments. */
export function memoryEstimate(config: Qwen2VlConfig, options: MemoryEstimateOptions): MemoryEstimate {
  const { bytesPerWeight, visualTokens = 391, views = 6, recompute = false } = options;
  const { text, vision } = config;
  let weights = 0;
  for (const shape of expectedTensors(config).values()) {
    weights += shape.reduce((a, b) => a * b, 1) * (shape.length === 2 ? bytesPerWeight : 4);
  }
  const [D, E, KV] = [text.hidden, text.heads * text.headDim, text.kvHeads * text.headDim];
  const layer = recompute ? D : 3 * D + 2 * E + 2 * KV + 2 * text.intermediate; // numbers a token that a layer keeps
  const work = 4 * D + 4 * text.intermediate; // numbers a token that one layer needs while it runs
  const pass = (tokens: number) => 4 * tokens * (text.layers * layer + work);
  const modules = views * 4 * (4 * D * D + 8 * D);
  const tower = 4 * 4 * visualTokens * (8 * vision.hidden + 2 * vision.intermediate);
  const tables = 32768 * (text.headDim + vision.hidden / vision.heads) * 4;
  const base = weights + tables + tower;
  return {
    weights,
    stage1: base + 4 * modules + pass(TEXT_TOKENS / 2),
    stage2: base + modules + pass(TEXT_TOKENS + visualTokens),
    evaluation: base + modules + 4 * (TEXT_TOKENS + visualTokens) * (text.layers * 2 * KV + work),
  };
}
