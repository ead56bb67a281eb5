/**
 * Where greedy decoding stands, kept on the GPU so that the host need not wait for a token before it asks for the next.
 * Letters: R sequences, M new tokens at most.
 */
import type { Plan } from "../plan.ts";
import { expectShape, type Tensor } from "../tensor.ts";
import code from "./generation_state.wgsl" with { type: "text" };

/** Tensors of the state, u32. */
export interface GenerationState {
  /** The token that is decoded next (R). */
  readonly ids: Tensor;
  /** Its position on three axes (R, 3). */
  readonly positions: Tensor;
  /** Keys [first, end) that it sees, itself among them (R, 2). */
  readonly ranges: Tensor;
  /** Row of the cache for its keys and values (R). */
  readonly cacheRow: Tensor;
  /** Tokens generated so far (1). */
  readonly step: Tensor;
  /** The tokens (R, M). */
  readonly generated: Tensor;
}

/** A state that belongs to `plan`. The host writes `positions`, `ranges`, `cacheRow` for the first new token and 0 into `step`. */
export function generationState(plan: Plan, options: { sequences: number; maxNewTokens: number }): GenerationState {
  const { sequences, maxNewTokens } = options;
  const tensor = (shape: number[], label: string) => plan.persistent(shape, { dtype: "u32", label });
  return {
    ids: tensor([sequences], "next tokens"),
    positions: tensor([sequences, 3], "next positions"),
    ranges: tensor([sequences, 2], "next key ranges"),
    cacheRow: tensor([sequences], "next cache rows"),
    step: tensor([1], "generated tokens"),
    generated: tensor([sequences, maxNewTokens], "generated tokens"),
  };
}

/**
 * Takes chosen tokens (R) u32 into the state. With `storeOnly` (behind the prompts' pass) positions, ranges and rows already stand for the
 * token; otherwise they move on by one.
 */
export function advanceGeneration(plan: Plan, args: { next: Tensor; state: GenerationState; storeOnly?: boolean }): void {
  const { next, state, storeOnly = false } = args;
  const [sequences, limit] = state.generated.shape;
  expectShape(next, [sequences], "u32");
  const { ids, positions, ranges, cacheRow, step, generated } = state;
  plan.dispatch({ label: "generation_state", code }, {
    tensors: { next, ids, positions, ranges, cache_row: cacheRow, step, generated },
    params: { sequences, limit, advance: storeOnly ? 0 : 1 },
    workgroups: [1],
  });
}
