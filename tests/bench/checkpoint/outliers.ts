/**
 * Outliers for random weights, of the kinds that published checkpoints have and that rounding is hardest on: a few numbers of the residual stream that
 * are hundreds of times larger than the others, and small weights of norms that keep them from drowning these ("massive activations", Sun et al. 2024,
 * arXiv:2402.17762); biases of queries and keys much larger than what differs from token to token, on the numbers of a head that turn slowest (Jin et
 * al. 2025, arXiv:2502.01563); a few rows of the MLP.
 */
import type { Qwen2VlConfig } from "../../../pipeline/qwen2_vl/config.ts";

/** The power of two that number `i` of a tensor is multiplied by. */
export type Exponent = (i: number) => number;

/** The two largest numbers of a residual stream of so many. */
const massive = (hidden: number): number[] => [hidden >> 3, (2 * hidden / 3) | 0];
/** Every so many rows of `up_proj` are larger. */
const UP_ROWS = 2048;
/** Every so many biases of the vision tower's queries and keys are larger than the others. */
const VISION_BIASES = 37;

/** What the tensor `name` is multiplied by; undefined where it stays as it is. */
export function outliers(name: string, { text, vision }: Qwen2VlConfig): Exponent | undefined {
  const [, tower, number, part] = /^(model\.layers|visual\.blocks)\.(\d+)\.(.*)$/.exec(name) ?? [];
  if (tower === "model.layers") return ofLayer(part, Number(number), text);
  if (tower === "visual.blocks") return ofBlock(part, Number(number), vision);
  return name === "model.norm.weight" ? norm(text.hidden) : undefined;
}

function ofLayer(part: string, layer: number, { hidden, intermediate, headDim }: Qwen2VlConfig["text"]): Exponent | undefined {
  const half = headDim / 2;
  // pairs of numbers of a head; the last but one are among the slowest
  const slow = (i: number) => i % half >= half - 5 && i % half < half - 1;
  switch (part) {
    case "self_attn.k_proj.bias": // of 0.02: to 80, then 20
      return (i) => slow(i) ? (layer === 0 ? 12 : 10) : 6;
    case "self_attn.q_proj.bias": // to 2.5
      return (i) => slow(i) ? 7 : 5;
    case "mlp.up_proj.weight":
      return (i) => Math.floor(i / hidden) % UP_ROWS === 7 ? 4 : 0;
    case "mlp.down_proj.weight":
      return layer === 0 ? rows(massive(hidden), intermediate) : undefined;
    case "input_layernorm.weight":
    case "post_attention_layernorm.weight":
      return layer === 0 ? undefined : norm(hidden);
  }
}

function ofBlock(part: string, block: number, { hidden, intermediate }: Qwen2VlConfig["vision"]): Exponent | undefined {
  switch (part) {
    case "attn.qkv.bias": // of 0.02: to 1.3, some to 10
      return (i) => i >= 2 * hidden ? 0 : i % VISION_BIASES === 0 ? 9 : 6;
    case "mlp.fc2.weight":
      return block === 0 ? rows(massive(hidden), intermediate) : undefined;
    case "norm1.weight":
    case "norm2.weight":
      return block === 0 ? undefined : norm(hidden);
  }
}

/** Larger rows of a matrix with so many columns. */
function rows(which: number[], columns: number): Exponent {
  return (i) => which.includes(Math.floor(i / columns)) ? 8 : 0;
}

/** A norm behind larger rows: small weights for their numbers, for the others some that make up for what these do to the sum of squares. */
function norm(hidden: number): Exponent {
  return (i) => massive(hidden).includes(i) ? -4 : 1;
}
