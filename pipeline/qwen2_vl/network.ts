/** A Qwen2-VL network on a GPU: sizes, weights and the tables of its rotary positions. */
import type { Gpu } from "../../kernels/gpu.ts";
import { mropeTable, visionRotaryTable } from "../../kernels/rotary/rotary_table.ts";
import type { Tensor } from "../../kernels/tensor.ts";
import { MaspError } from "../errors.ts";
import type { Qwen2VlConfig } from "./config.ts";
import { destroyWeights, type Qwen2VlWeights } from "./weights.ts";

/** A table of angles on the GPU. */
export interface RotaryTensors {
  /** (positions, headDim / 2, 2) */
  readonly table: Tensor;
  /** (headDim / 2) u32 */
  readonly axes: Tensor;
}

/** Everything that a forward pass needs. */
export interface Network extends Disposable {
  /** Where the weights lie. */
  readonly gpu: Gpu;
  /** Sizes and ids. */
  readonly config: Qwen2VlConfig;
  /** The checkpoint's tensors. */
  readonly weights: Qwen2VlWeights;
  /** Of the language model. */
  readonly rotary: RotaryTensors;
  /** Of the vision tower. */
  readonly visionRotary: RotaryTensors;
  /** Positions that `rotary` has. */
  readonly maxPositions: number;
}

/** Rows or columns of patches that a picture may have: 16384 · 28² pixels, all in one row. */
const VISION_POSITIONS = 32768;
/** Positions of the language model's table: more than any picture and prompt take. */
const TEXT_POSITIONS = 32768;

/** Puts the tables beside the weights. The network owns the weights from now on, and frees them when it cannot be made. */
export function createNetwork(gpu: Gpu, parts: { config: Qwen2VlConfig; weights: Qwen2VlWeights }): Network {
  const { config, weights } = parts;
  const { text, vision } = config;
  using making = new DisposableStack();
  making.defer(() => destroyWeights(gpu, weights));
  const uploaded = (host: Parameters<typeof upload>[1]) => making.adopt(upload(gpu, host), ({ table, axes }) => gpu.destroy(table, axes));
  const maxPositions = Math.min(text.maxPositions, TEXT_POSITIONS);
  const rotary = uploaded(
    mropeTable({ headDim: text.headDim, base: text.ropeBase, positions: maxPositions, sections: text.ropeSections }),
  );
  const visionRotary = uploaded(visionRotaryTable({ headDim: vision.hidden / vision.heads, positions: VISION_POSITIONS }));
  const owned = making.move();
  return {
    gpu,
    config,
    weights,
    rotary,
    visionRotary,
    maxPositions,
    [Symbol.dispose]: () => owned.dispose(),
  };
}

/**
 * Checks that a sequence's positions have rotations.
 *
 * @param count one more than its highest position
 * @throws {MaspError} when it is longer than the model allows
 */
export function expectPositions({ maxPositions }: Network, count: number): void {
  if (count <= maxPositions) return;
  throw new MaspError(
    `A sequence takes ${count} positions; this model has ${maxPositions} (max_position_embeddings). Use smaller pictures (max_pixels), shorter texts, or ` +
      "fewer tokens of views, prompt or answer (num_view_tokens, num_special_tokens_in_prefix, eval_max_new_tokens).",
  );
}

function upload(gpu: Gpu, host: { table: Float32Array; axes: Uint32Array }): RotaryTensors {
  const pairs = host.axes.length;
  return {
    table: gpu.tensor([host.table.length / pairs / 2, pairs, 2], { data: host.table, label: "rotary table" }),
    axes: gpu.tensor([pairs], { dtype: "u32", data: host.axes, label: "rotary axes" }),
  };
}
