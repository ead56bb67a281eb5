/**
 * The vision tower: patches → features. Letters: P patches of all pictures of a pass (rounded up), H vision hidden, D language model's hidden.
 */
import { attention } from "../../kernels/attention/attention.ts";
import { inputBlock } from "../../kernels/input_block.ts";
import { layerNorm, layerNormRows } from "../../kernels/layer_norm/layer_norm.ts";
import { linear } from "../../kernels/linear/linear.ts";
import { factorPrecision } from "../../kernels/linear/matrix.ts";
import { Plan } from "../../kernels/plan.ts";
import { PlanCache } from "../../kernels/plan_cache.ts";
import { rotary } from "../../kernels/rotary/rotary.ts";
import type { Tensor } from "../../kernels/tensor.ts";
import type { VisionConfig } from "./config.ts";
import { inRuns } from "./in_runs.ts";
import type { Network } from "./network.ts";

const LAYER_NORM_EPS = 1e-6;

/** A picture as the preprocessing leaves it. */
export interface PicturePatches {
  /** Patches (P, channels · frames · patch²), in merge order. */
  pixels: Float32Array;
  /** Frames, rows and columns of patches. */
  grid: readonly [number, number, number];
}

/** Bytes of the largest tensor of a pass over several pictures. */
const MOST_BYTES = 2 ** 28;
/** Patches that a pass is rounded up to a multiple of, at most. */
const LARGEST_STEP = 256;

function patchesOf({ grid }: PicturePatches): number {
  return grid[0] * grid[1] * grid[2];
}

/** Patches of a pass: rounded up, so that few shapes of plans come about. */
function roundPatches(patches: number): number {
  const step = patches <= 512 ? 16 : patches <= 4096 ? 64 : LARGEST_STEP;
  return Math.ceil(patches / step) * step;
}

/** Number of merged tokens of a picture. */
export function visualTokens(grid: readonly [number, number, number], merge: number): number {
  return grid[0] * grid[1] * grid[2] / merge ** 2;
}

/** Inputs of {@linkcode visionTower} on the GPU. */
export interface VisionInputs {
  /** (P, channels · patch²): one frame of a picture that stands still */
  pixels: Tensor;
  /** Row and column of every patch (P, 2) u32. */
  positions: Tensor;
  /** Patches of the same picture (P, 2) u32. */
  ranges: Tensor;
}

/** Products with short sums: gradients of stage 1 depend on the features' errors more than answers do. */
const PRECISE = { precise: true };

/** Features (P / merge², D), and the hidden state before the first and after every block (P, H). */
export function visionTower(plan: Plan, args: VisionInputs & { network: Network; out?: Tensor }): { features: Tensor; hidden: Tensor[] } {
  const { network, pixels, positions, ranges, out } = args;
  const { weights, config: { vision }, visionRotary } = network;
  const { heads } = vision;
  const headDim = vision.hidden / heads;
  const eps = LAYER_NORM_EPS;
  let x = linear(plan, { x: pixels, weight: weights.patchEmbedding, ...PRECISE });
  const hidden = [x];
  for (const block of weights.blocks) {
    const normed = layerNormRows({ x, weight: block.norm1, bias: block.norm1Bias, eps });
    const qkv = linear(plan, { x: normed, weight: block.qkv, bias: block.qkvBias, ...PRECISE });
    rotary(plan, { x: qkv, out: qkv, heads: 2 * heads, positions, ...visionRotary });
    const stride = 3 * vision.hidden;
    const { out: attended } = attention(plan, {
      q: qkv,
      k: qkv,
      v: qkv,
      qStride: stride,
      kStride: stride,
      vStride: stride,
      kOffset: vision.hidden,
      vOffset: 2 * vision.hidden,
      ranges,
      heads,
      kvHeads: heads,
      headDim,
      scale: 1 / Math.sqrt(headDim),
      precision: factorPrecision(block.qkv),
    });
    const middle = linear(plan, { x: attended, weight: block.projection, bias: block.projectionBias, residual: x, ...PRECISE });
    const normed2 = layerNormRows({ x: middle, weight: block.norm2, bias: block.norm2Bias, eps });
    const inner = linear(plan, { x: normed2, weight: block.fc1, bias: block.fc1Bias, activation: "quick_gelu", ...PRECISE });
    x = linear(plan, { x: inner, weight: block.fc2, bias: block.fc2Bias, residual: middle, ...PRECISE });
    hidden.push(x);
  }
  const { merger } = weights;
  const area = vision.merge ** 2;
  const normed = layerNorm(plan, { x, weight: merger.norm, bias: merger.normBias, eps });
  const merged = normed.view([x.shape[0] / area, vision.hidden * area]);
  const inner = linear(plan, { x: merged, weight: merger.fc1, bias: merger.fc1Bias, activation: "gelu", ...PRECISE });
  return { features: linear(plan, { x: inner, weight: merger.fc2, bias: merger.fc2Bias, out, ...PRECISE }), hidden };
}

/** Encodes pictures, with a plan per number of patches. All plans share the memory of patches and features, as large as the largest needs. */
export class VisionTower implements Disposable {
  readonly #network: Network;
  readonly #plans = new PlanCache<VisionPlan>(16);
  #memory?: VisionMemory;

  /** The tower of a network. */
  constructor(network: Network) {
    this.#network = network;
  }

  /**
   * Features of pictures, all in one pass, or in as few as the adapter's buffers allow.
   *
   * @returns a new tensor (P / merge², D) per picture, which the caller destroys
   */
  encode(...pictures: PicturePatches[]): Tensor[] {
    const { gpu, config: { vision } } = this.#network;
    const widest = Math.max(vision.intermediate, 3 * vision.hidden, vision.channels * vision.patch ** 2);
    const most = Math.min(gpu.maxBindingBytes, MOST_BYTES) / (4 * widest) - LARGEST_STEP; // a pass is rounded up
    return inRuns(pictures, { most, size: patchesOf }).flatMap((run) => this.#encodeRun(run));
  }

  #encodeRun(pictures: readonly PicturePatches[]): Tensor[] {
    const { gpu, config: { vision, text } } = this.#network;
    const counts = pictures.map(patchesOf);
    const rows = roundPatches(counts.reduce((a, b) => a + b, 0));
    const memory = this.#reserve(rows);
    const plan = this.#plans.get(`${rows}`, () => new VisionPlan(this.#network, { rows, memory }));
    plan.write(pictures);
    plan.plan.run();
    let start = 0;
    return counts.map((count) => {
      const tokens = count / vision.merge ** 2;
      const features = gpu.tensor([tokens, text.hidden], { label: "visual features" });
      gpu.run({ from: plan.features.view([tokens, text.hidden], start * text.hidden * 4), to: features });
      start += tokens;
      return features;
    });
  }

  /** Frees the plans and their memory; they are made again when they are needed. */
  clear(): void {
    this.#plans.clear();
    if (this.#memory) this.#network.gpu.destroy(this.#memory.pixels, this.#memory.features);
    this.#memory = undefined;
  }

  /** The same as {@linkcode clear}. */
  [Symbol.dispose](): void {
    this.clear();
  }

  /** Memory for so many patches. Plans on memory that was too small are freed with it. */
  #reserve(rows: number): VisionMemory {
    if (this.#memory && this.#memory.pixels.shape[0] >= rows) return this.#memory;
    this.clear();
    const { gpu, config: { vision, text } } = this.#network;
    const pixels = gpu.tensor([rows, vision.channels * vision.patch ** 2], { label: "pixels" });
    const features = gpu.tensor([rows / vision.merge ** 2, text.hidden], { label: "features of a pass" });
    return this.#memory = { pixels, features };
  }
}

/** What goes into the tower's plans and comes out of them. */
interface VisionMemory {
  /** (P, channels · patch²) of the largest plan */
  pixels: Tensor;
  /** (P / merge², D) */
  features: Tensor;
}

/** The tower recorded for some number of patches. */
class VisionPlan implements Disposable {
  readonly plan: Plan;
  readonly features: Tensor;
  readonly #inputs;
  readonly #pixels: Tensor;
  readonly #network: Network;

  constructor(network: Network, { rows, memory }: { rows: number; memory: VisionMemory }) {
    const { vision, text } = network.config;
    this.#network = network;
    this.plan = new Plan(network.gpu, `vision tower ${rows}`);
    this.#pixels = memory.pixels.view([rows, memory.pixels.shape[1]]);
    this.#inputs = inputBlock(this.plan, {
      positions: { shape: [rows, 2], dtype: "u32" },
      ranges: { shape: [rows, 2], dtype: "u32" },
    });
    this.features = memory.features.view([rows / vision.merge ** 2, text.hidden]);
    visionTower(this.plan, { network, pixels: this.#pixels, ...this.#inputs.tensors, out: this.features });
  }

  write(pictures: readonly PicturePatches[]): void {
    const [rows, width] = this.#pixels.shape;
    const { config: { vision }, visionRotary } = this.#network;
    const pixels = new Float32Array(rows * width);
    const positions: number[] = [];
    const ranges: number[] = [];
    let start = 0;
    visionRotary.fill(Math.max(...pictures.flatMap(({ grid: [, rows, columns] }) => [rows, columns])));
    for (const { pixels: all, grid } of pictures) {
      const count = grid[0] * grid[1] * grid[2];
      pixels.set(stillFrame(all, vision), start * width);
      positions.push(...patchPositions(grid, vision.merge));
      for (let p = 0; p < count; p++) ranges.push(start, start + count);
      start += count;
    }
    this.plan.gpu.write(this.#pixels, pixels);
    this.#inputs.write({ positions, ranges });
  }

  [Symbol.dispose](): void {
    this.plan[Symbol.dispose]();
  }
}

/** The first frame of every patch: (P, channels · frames · patch²) → (P, channels · patch²). */
export function stillFrame(pixels: Float32Array, vision: VisionConfig): Float32Array {
  const { channels, temporalPatch, patch } = vision;
  const area = patch * patch;
  const slices = pixels.length / area / temporalPatch; // patches · channels
  if (slices % channels) throw new Error(`${pixels.length} pixel values are no whole number of patches`);
  const frame = new Float32Array(slices * area);
  for (let i = 0; i < slices; i++) frame.set(pixels.subarray(i * temporalPatch * area, (i * temporalPatch + 1) * area), i * area);
  return frame;
}

/** Row and column of every patch (P, 2), in merge order: blocks of merge × merge patches row by row, and row by row inside. */
export function patchPositions(grid: readonly [number, number, number], merge: number): Uint32Array {
  const [frames, rows, columns] = grid;
  const positions = new Uint32Array(frames * rows * columns * 2);
  let at = 0;
  for (let frame = 0; frame < frames; frame++) {
    for (let blockRow = 0; blockRow < rows; blockRow += merge) {
      for (let blockColumn = 0; blockColumn < columns; blockColumn += merge) {
        for (let i = 0; i < merge * merge; i++) {
          positions[at++] = blockRow + Math.floor(i / merge);
          positions[at++] = blockColumn + i % merge;
        }
      }
    }
  }
  return positions;
}
