/** A Qwen2-VL network on a GPU: sizes, weights and the tables of its rotary positions. */
import type { Gpu } from "../../kernels/gpu.ts";
import { mropeTable, type RotaryTable, visionRotaryTable } from "../../kernels/rotary/rotary_table.ts";
import type { Tensor } from "../../kernels/tensor.ts";
import { MaspError } from "../errors.ts";
import type { Qwen2VlConfig } from "./config.ts";
import { destroyWeights, type Qwen2VlWeights } from "./weights.ts";

/** A table of angles on the GPU, filled as far as positions were asked for: most models have many more than any sequence takes. */
export interface RotaryTensors {
  /** (positions, headDim / 2, 2) */
  readonly table: Tensor;
  /** (headDim / 2) u32 */
  readonly axes: Tensor;
  /** Fills the table up to so many positions, as far as it goes; the first {@linkcode FILLED_AT_ONCE} always are. */
  fill(positions: number): void;
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
/** Positions by which tables grow. The sines of all that a published model has would keep loading waiting for half a second. */
export const FILLED_AT_ONCE = 2048;

/** Puts the tables beside the weights. The network owns the weights from now on, and frees them when it cannot be made. */
export function createNetwork(gpu: Gpu, parts: { config: Qwen2VlConfig; weights: Qwen2VlWeights }): Network {
  const { config, weights } = parts;
  const { text, vision } = config;
  using making = new DisposableStack();
  making.defer(() => destroyWeights(gpu, weights));
  const growing = (count: number, rows: Parameters<typeof growingTable>[2]) =>
    making.adopt(growingTable(gpu, count, rows), ({ table, axes }) => gpu.destroy(table, axes));
  const maxPositions = Math.min(text.maxPositions, TEXT_POSITIONS);
  const ofText = { headDim: text.headDim, base: text.ropeBase, sections: text.ropeSections };
  const rotary = growing(maxPositions, (rows) => mropeTable({ ...ofText, ...rows }));
  const visionRotary = growing(VISION_POSITIONS, (rows) => visionRotaryTable({ headDim: vision.hidden / vision.heads, ...rows }));
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
 * Sees to it that a sequence's positions have rotations.
 *
 * @param count one more than its highest position
 * @throws {MaspError} when it is longer than the model allows
 */
export function expectPositions({ maxPositions, rotary }: Network, count: number): void {
  if (count <= maxPositions) return rotary.fill(count);
  throw new MaspError(
    `A sequence takes ${count} positions; this model has ${maxPositions} (max_position_embeddings). Use smaller pictures (max_pixels), shorter texts, or ` +
      "fewer tokens of views, prompt or answer (num_view_tokens, num_special_tokens_in_prefix, eval_max_new_tokens).",
  );
}

function growingTable(gpu: Gpu, count: number, rows: (options: { first: number; positions: number }) => RotaryTable): RotaryTensors {
  const { axes } = rows({ first: 0, positions: 0 });
  const pairs = axes.length;
  const table = gpu.tensor([count, pairs, 2], { label: "rotary table" });
  let filled = 0;
  const fill = (positions: number) => {
    const end = Math.min(count, Math.ceil(positions / FILLED_AT_ONCE) * FILLED_AT_ONCE);
    if (end <= filled) return;
    gpu.write(table, rows({ first: filled, positions: end - filled }).table, { byteOffset: filled * pairs * 8 });
    filled = end;
  };
  fill(1);
  return { table, axes: gpu.tensor([pairs], { dtype: "u32", data: axes, label: "rotary axes" }), fill };
}
