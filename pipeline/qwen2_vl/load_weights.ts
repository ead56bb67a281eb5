/** A checkpoint's tensors to the GPU, streamed in pieces. */
import type { Gpu } from "../../kernels/gpu.ts";
import { keepInHalf } from "../../kernels/linear/half_weights.ts";
import { measureLargest } from "../../kernels/linear/largest_weight.ts";
import { createMatrix, destroyMatrix, type Matrix, type WeightType, writeMatrix } from "../../kernels/linear/matrix.ts";
import type { Tensor } from "../../kernels/tensor.ts";
import { isQuantized } from "../../kernels/linear/weight_types.ts";
import type { Qwen2VlConfig } from "./config.ts";
import { convertNumbers, toFloats } from "./convert_numbers.ts";
import { matrixType, Quantizer } from "./quantize.ts";
import type { DecoderLayerWeights, Qwen2VlWeights, VisionBlockWeights } from "./weights.ts";

/** Where tensors come from: a checkpoint folder, under the published names. */
export interface TensorSource {
  /** Number type (`F32`, `BF16`, `F16`) and shape. */
  find(name: string): { dtype: string; shape: readonly number[] } | undefined;
  /** The bytes of tensors in order, in pieces of one tensor each; a piece is valid until the next one is asked for. None where only sizes count. */
  pieces(names: readonly string[]): AsyncIterable<Uint8Array>;
}

/** Options of {@linkcode loadWeights}. */
export interface LoadWeightsOptions {
  /** Number type of the matrices on the GPU, of which {@linkcode matrixType} makes exceptions; as stored when left out, or as `keptType` says. */
  weights?: WeightType;
  /** Told the bytes read so far, now and then. */
  onProgress?: (bytes: number) => void;
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
  const matrices: Matrix[] = [];
  async function* pieces(name: string): AsyncIterable<Uint8Array> {
    for (let left = storedBytes(found(name)); left > 0;) {
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
    matrices.push(result);
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
    const [q, k, v] = [..."qkv"].map((name) => `${attention}.${name}_proj`);
    const weights = (...names: string[]) => matrix(...names.map((name) => `${name}.weight`));
    const biases = (...names: string[]) => vector(...names.map((name) => `${name}.bias`));
    const projections = i < text.layers - 1
      ? { qkv: weights(q, k, v), qkvBias: biases(q, k, v) }
      : { query: weights(q), queryBias: biases(q), keyValue: weights(k, v), keyValueBias: biases(k, v) };
    return {
      inputNorm: vector(`${layer}.input_layernorm.weight`),
      ...projections,
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
  await measureLargest(gpu, matrices);
  if (!options.weights) keepInHalf(gpu, matrices);
  loading.move();
  return weights;
}

/** Bytes of a tensor in its file. */
export function storedBytes({ dtype, shape }: { dtype: string; shape: readonly number[] }): number {
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
