/** The checkpoint's tensors on the GPU: names and shapes as published, streamed in pieces. */
import type { Gpu } from "../../kernels/gpu.ts";
import { createMatrix, destroyMatrix, type Matrix, type WeightType, writeMatrix } from "../../kernels/linear/matrix.ts";
import type { Tensor } from "../../kernels/tensor.ts";
import { isQuantized } from "../../kernels/linear/weight_types.ts";
import type { Qwen2VlConfig } from "./config.ts";
import { convertNumbers, toFloats } from "./convert_numbers.ts";
import { matrixType, Quantizer } from "./quantize.ts";

/** Weights of a decoder layer. Letters as in `config.ts`. */
export interface DecoderLayerWeights {
  /** (D) */
  readonly inputNorm: Tensor;
  /** (E, D) */
  readonly query: Matrix;
  /** (E) */
  readonly queryBias: Tensor;
  /** Keys over values: (2·KV, D) */
  readonly keyValue: Matrix;
  /** (2·KV) */
  readonly keyValueBias: Tensor;
  /** (D, E) */
  readonly output: Matrix;
  /** (D) */
  readonly postNorm: Tensor;
  /** Gate over up: (2·I, D) */
  readonly gateUp: Matrix;
  /** (D, I) */
  readonly down: Matrix;
}

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

/** Where tensors come from: a checkpoint folder, under the published names. */
export interface TensorSource {
  /** Number type (`F32`, `BF16`, `F16`) and shape. */
  find(name: string): { dtype: string; shape: readonly number[] } | undefined;
  /** The bytes of tensors in order, in pieces of one tensor each; a piece is valid until the next one is asked for. None where only sizes count. */
  pieces(names: readonly string[]): AsyncIterable<Uint8Array>;
}

/** Options of {@linkcode loadWeights}. */
export interface LoadWeightsOptions {
  /** Number type of the matrices on the GPU, of which {@linkcode matrixType} makes exceptions; as stored when left out. */
  weights?: WeightType;
  /** Told the bytes read so far, now and then. */
  onProgress?: (bytes: number) => void;
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

/**
 * Loads every tensor of a checkpoint whose names and shapes were checked; what was loaded is freed when it fails. All tensors are made
 * before the first is read: a lack of memory shows at once, and bytes on their way leave no gaps between tensors that stay, which would
 * cost a seventh more memory where the GPU's is the host's.
 *
 * @throws {GpuError} when the GPU's memory is too small
 */
export async function loadWeights(
  gpu: Gpu,
  source: TensorSource,
  options: LoadWeightsOptions & { config: Qwen2VlConfig },
): Promise<Qwen2VlWeights> {
  const { config: { text, vision } } = options;
  let read = 0;
  const fills: (() => Promise<void>)[] = [];
  const order: string[] = []; // in which the fills read tensors
  let stream: AsyncIterator<Uint8Array> | undefined;
  using loading = new DisposableStack();
  using quantizer = new Quantizer(gpu);
  async function* pieces(name: string): AsyncIterable<Uint8Array> {
    for (let left = bytesOf(found(name)); left > 0;) {
      const { value, done } = await (stream ??= source.pieces(order)[Symbol.asyncIterator]()).next();
      if (done) return;
      yield value;
      left -= value.length;
      read += value.length;
      options.onProgress?.(read);
    }
  }
  const found = (name: string) => {
    const tensor = source.find(name);
    if (!tensor) throw new Error(`tensor "${name}" is missing`);
    return tensor;
  };
  /** Several tensors of the same width on top of each other. */
  const matrix = (...names: string[]): Matrix => {
    const tensors = names.map(found);
    const dtype = matrixType(names[0], { weights: options.weights, stored: tensors[0].dtype });
    const rows = tensors.reduce((sum, { shape }) => sum + shape[0], 0);
    const made = createMatrix(gpu, [rows, tensors[0].shape[1]], { dtype, label: names.join(" + ") });
    const result = loading.adopt(made, (matrix) => destroyMatrix(gpu, matrix));
    order.push(...names);
    fills.push(async () => {
      let firstRow = 0;
      let byteOffset = 0;
      for (const [i, name] of names.entries()) {
        const { dtype: stored, shape } = tensors[i];
        if (isQuantized(dtype)) await quantizer.write({ target: result, firstRow, stored, pieces: pieces(name) });
        else {
          for await (const piece of pieces(name)) {
            const data = convertNumbers(piece, { from: stored, to: dtype });
            writeMatrix(gpu, result, { byteOffset, data });
            byteOffset += data.length;
          }
        }
        firstRow += shape[0];
      }
    });
    return result;
  };
  const size = (...names: string[]) => names.reduce((sum, name) => sum + found(name).shape.reduce((a, b) => a * b, 1), 0);
  const floats = async (...names: string[]): Promise<Float32Array<ArrayBuffer>> => {
    const all = new Float32Array(size(...names));
    let at = 0;
    for (const name of names) {
      for await (const piece of pieces(name)) {
        const values = toFloats(piece, found(name).dtype);
        all.set(values, at);
        at += values.length;
      }
    }
    return all;
  };
  const vector = (...names: string[]): Tensor => {
    const result = loading.adopt(gpu.tensor([size(...names)], { label: names.join(" + ") }), (tensor) => gpu.destroy(tensor));
    order.push(...names);
    fills.push(async () => gpu.write(result, await floats(...names)));
    return result;
  };
  const patchEmbedding = (label: string): Matrix => {
    const { hidden, channels, patch } = vision;
    const made = createMatrix(gpu, [hidden, channels * patch * patch], { label });
    const result = loading.adopt(made, (matrix) => destroyMatrix(gpu, matrix));
    order.push(label);
    fills.push(async () => writeMatrix(gpu, result, { data: new Uint8Array(addFrames(await floats(label), vision).buffer) }));
    return result;
  };
  const embedding = matrix("model.embed_tokens.weight");
  const layers = Array.from({ length: text.layers }, (_, i): DecoderLayerWeights => {
    const layer = `model.layers.${i}`;
    const attention = `${layer}.self_attn`;
    return {
      inputNorm: vector(`${layer}.input_layernorm.weight`),
      query: matrix(`${attention}.q_proj.weight`),
      queryBias: vector(`${attention}.q_proj.bias`),
      keyValue: matrix(`${attention}.k_proj.weight`, `${attention}.v_proj.weight`),
      keyValueBias: vector(`${attention}.k_proj.bias`, `${attention}.v_proj.bias`),
      output: matrix(`${attention}.o_proj.weight`),
      postNorm: vector(`${layer}.post_attention_layernorm.weight`),
      gateUp: matrix(`${layer}.mlp.gate_proj.weight`, `${layer}.mlp.up_proj.weight`),
      down: matrix(`${layer}.mlp.down_proj.weight`),
    };
  });
  const blocks = Array.from({ length: vision.blocks }, (_, i): VisionBlockWeights => {
    const block = `visual.blocks.${i}`;
    return {
      norm1: vector(`${block}.norm1.weight`),
      norm1Bias: vector(`${block}.norm1.bias`),
      qkv: matrix(`${block}.attn.qkv.weight`),
      qkvBias: vector(`${block}.attn.qkv.bias`),
      projection: matrix(`${block}.attn.proj.weight`),
      projectionBias: vector(`${block}.attn.proj.bias`),
      norm2: vector(`${block}.norm2.weight`),
      norm2Bias: vector(`${block}.norm2.bias`),
      fc1: matrix(`${block}.mlp.fc1.weight`),
      fc1Bias: vector(`${block}.mlp.fc1.bias`),
      fc2: matrix(`${block}.mlp.fc2.weight`),
      fc2Bias: vector(`${block}.mlp.fc2.bias`),
    };
  });
  const merger = "visual.merger";
  const weights: Qwen2VlWeights = {
    embedding,
    layers,
    norm: vector("model.norm.weight"),
    head: text.tied ? embedding : matrix("lm_head.weight"),
    patchEmbedding: patchEmbedding("visual.patch_embed.proj.weight"),
    blocks,
    merger: {
      norm: vector(`${merger}.ln_q.weight`),
      normBias: vector(`${merger}.ln_q.bias`),
      fc1: matrix(`${merger}.mlp.0.weight`),
      fc1Bias: vector(`${merger}.mlp.0.bias`),
      fc2: matrix(`${merger}.mlp.2.weight`),
      fc2Bias: vector(`${merger}.mlp.2.bias`),
    },
  };
  await gpu.sync();
  try {
    for (const fill of fills) await fill();
  } finally {
    await stream?.return?.();
  }
  loading.move();
  return weights;
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

/** Bytes of a tensor in its file. */
function bytesOf({ dtype, shape }: { dtype: string; shape: readonly number[] }): number {
  return shape.reduce((a, b) => a * b, dtype === "F32" ? 4 : 2);
}

/** Weights of the frames added: (hidden, channels, frames, patch, patch) → (hidden, channels · patch²). */
function addFrames(weights: Float32Array, vision: Qwen2VlConfig["vision"]): Float32Array<ArrayBuffer> {
  const { hidden, channels, temporalPatch, patch } = vision;
  const area = patch * patch;
  const sum = new Float32Array(hidden * channels * area);
  for (let i = 0; i < hidden * channels; i++) {
    for (let t = 0; t < temporalPatch; t++) {
      for (let p = 0; p < area; p++) sum[i * area + p] += weights[(i * temporalPatch + t) * area + p];
    }
  }
  return sum;
}
