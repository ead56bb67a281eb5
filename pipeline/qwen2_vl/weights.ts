/** A checkpoint's tensors: names and shapes as published, and what they are on the GPU. */
import type { Gpu } from "../../kernels/gpu.ts";
import { destroyMatrix, type Matrix } from "../../kernels/linear/matrix.ts";
import type { Tensor } from "../../kernels/tensor.ts";
import type { Qwen2VlConfig } from "./config.ts";

/** What queries, keys and values come from where all rows need all of them. */
export interface JoinedProjections {
  /** Queries over keys over values: (E + 2·KV, D) */
  readonly qkv: Matrix;
  /** (E + 2·KV) */
  readonly qkvBias: Tensor;
}

/** What they come from in the last layer, where the queries of a few rows are asked for. */
export interface SeparateProjections {
  /** (E, D) */
  readonly query: Matrix;
  /** (E) */
  readonly queryBias: Tensor;
  /** Keys over values: (2·KV, D) */
  readonly keyValue: Matrix;
  /** (2·KV) */
  readonly keyValueBias: Tensor;
}

/** Weights of a decoder layer. Letters as in `config.ts`. */
export type DecoderLayerWeights = (JoinedProjections | SeparateProjections) & {
  /** (D) */
  readonly inputNorm: Tensor;
  /** (D, E) */
  readonly output: Matrix;
  /** (D) */
  readonly postNorm: Tensor;
  /** Gate over up: (2·I, D) */
  readonly gateUp: Matrix;
  /** (D, I) */
  readonly down: Matrix;
};

/** Weights of a vision block. H: hidden size of the tower, M: of its MLP. */
export interface VisionBlockWeights {
  /** (H) */
  readonly norm1: Tensor;
  /** (H) */
  readonly norm1Bias: Tensor;
  /** Queries over keys over values: (3·H, H) */
  readonly qkv: Matrix;
  /** (3·H) */
  readonly qkvBias: Tensor;
  /** (H, H) */
  readonly projection: Matrix;
  /** (H) */
  readonly projectionBias: Tensor;
  /** (H) */
  readonly norm2: Tensor;
  /** (H) */
  readonly norm2Bias: Tensor;
  /** (M, H) */
  readonly fc1: Matrix;
  /** (M) */
  readonly fc1Bias: Tensor;
  /** (H, M) */
  readonly fc2: Matrix;
  /** (H) */
  readonly fc2Bias: Tensor;
}

/** Everything that a checkpoint holds. */
export interface Qwen2VlWeights {
  /** (V, D) */
  readonly embedding: Matrix;
  /** The language model's layers in order. */
  readonly layers: readonly DecoderLayerWeights[];
  /** (D) */
  readonly norm: Tensor;
  /** (V, D); the embedding itself when tied */
  readonly head: Matrix;
  /** (vision hidden, channels · patch²): the two frames' weights added, since a picture stands in both */
  readonly patchEmbedding: Matrix;
  /** The tower's blocks in order. */
  readonly blocks: readonly VisionBlockWeights[];
  /** Four neighbouring patches side by side → a visual token. */
  readonly merger: {
    readonly norm: Tensor;
    readonly normBias: Tensor;
    readonly fc1: Matrix;
    readonly fc1Bias: Tensor;
    readonly fc2: Matrix;
    readonly fc2Bias: Tensor;
  };
}

/** Names and shapes of all tensors that a checkpoint of this configuration holds. */
export function expectedTensors({ text, vision }: Qwen2VlConfig): Map<string, number[]> {
  const D = text.hidden;
  const E = text.heads * text.headDim;
  const KV = text.kvHeads * text.headDim;
  const shapes = new Map<string, number[]>([["model.embed_tokens.weight", [text.vocabulary, D]], ["model.norm.weight", [D]]]);
  if (!text.tied) shapes.set("lm_head.weight", [text.vocabulary, D]);
  for (let i = 0; i < text.layers; i++) {
    const layer = `model.layers.${i}`;
    for (const norm of ["input_layernorm", "post_attention_layernorm"]) shapes.set(`${layer}.${norm}.weight`, [D]);
    for (const [name, rows] of [["q", E], ["k", KV], ["v", KV]] as const) {
      shapes.set(`${layer}.self_attn.${name}_proj.weight`, [rows, D]);
      shapes.set(`${layer}.self_attn.${name}_proj.bias`, [rows]);
    }
    shapes.set(`${layer}.self_attn.o_proj.weight`, [D, E]);
    for (const name of ["gate", "up"]) shapes.set(`${layer}.mlp.${name}_proj.weight`, [text.intermediate, D]);
    shapes.set(`${layer}.mlp.down_proj.weight`, [D, text.intermediate]);
  }
  const H = vision.hidden;
  const merged = H * vision.merge ** 2;
  shapes.set("visual.patch_embed.proj.weight", [H, vision.channels, vision.temporalPatch, vision.patch, vision.patch]);
  const dense = (name: string, shape: [number, number]) => shapes.set(`${name}.weight`, shape).set(`${name}.bias`, [shape[0]]);
  for (let i = 0; i < vision.blocks; i++) {
    const block = `visual.blocks.${i}`;
    for (const norm of ["norm1", "norm2"]) shapes.set(`${block}.${norm}.weight`, [H]).set(`${block}.${norm}.bias`, [H]);
    dense(`${block}.attn.qkv`, [3 * H, H]);
    dense(`${block}.attn.proj`, [H, H]);
    dense(`${block}.mlp.fc1`, [vision.intermediate, H]);
    dense(`${block}.mlp.fc2`, [H, vision.intermediate]);
  }
  shapes.set("visual.merger.ln_q.weight", [H]).set("visual.merger.ln_q.bias", [H]);
  dense("visual.merger.mlp.0", [merged, merged]);
  dense("visual.merger.mlp.2", [vision.output, merged]);
  return shapes;
}

/** Frees every tensor of a checkpoint. */
export function destroyWeights(gpu: Gpu, weights: Qwen2VlWeights): void {
  const { embedding, head, patchEmbedding, norm, layers, blocks, merger } = weights;
  for (const matrix of new Set([embedding, head, patchEmbedding])) destroyMatrix(gpu, matrix);
  gpu.destroy(norm);
  for (const part of [...layers, ...blocks, merger]) {
    for (const value of Object.values(part) as (Matrix | Tensor)[]) {
      if ("blocks" in value) destroyMatrix(gpu, value);
      else gpu.destroy(value);
    }
  }
}
