/** Queries, keys and values of a decoder layer, and the gradient of the rows that they come from. Letters as in `decoder_layer.ts`. */
import { linear, linearInputGradient } from "../../kernels/linear/linear.ts";
import type { Plan } from "../../kernels/plan.ts";
import { rmsNormBackward, rmsNormRows } from "../../kernels/rms_norm/rms_norm.ts";
import { rotary } from "../../kernels/rotary/rotary.ts";
import { gatherRows, scatterAddRows } from "../../kernels/rows/rows.ts";
import { scatterRows } from "../../kernels/scatter_rows/scatter_rows.ts";
import { splitQkv, splitQkvBackward } from "../../kernels/split_qkv/split_qkv.ts";
import type { Tensor } from "../../kernels/tensor.ts";
import type { DecoderLayerArgs, DecoderLayerBackwardArgs } from "./decoder_layer.ts";
import type { Network } from "./network.ts";

/** What attention takes. */
export interface Projected {
  /** The rows that go on, before the layer (Q, D). */
  xq: Tensor;
  /** Their queries (Q, E), turned. */
  q: Tensor;
  /** All keys and values (C, 2·KV), keys turned; C = T without a cache. */
  keys: Tensor;
}

/** q, k, v = RMSNorm(x) · Wᵀ + b, queries and keys turned by their positions. */
export function project(plan: Plan, args: DecoderLayerArgs & { network: Network; precise: boolean }): Projected {
  const { x, weights, rows, queries, cache, cacheStart = 0, cacheRows, network, precise } = args;
  const { heads, kvHeads, headDim, normEps: eps } = network.config.text;
  const width = 2 * kvHeads * headDim;
  const normed = rmsNormRows({ x, weight: weights.inputNorm, eps });
  const direct = cache && !cacheRows ? cache.view([x.shape[0], width], cacheStart * width * 4) : undefined;
  if ("qkv" in weights) {
    if (queries) throw new Error("only the last layer's projections are separate, as rows that alone go on need them");
    const qkv = linear(plan, { x: normed, weight: weights.qkv, bias: weights.qkvBias, precise });
    const placed = { kv: cacheRows ? cache : direct, index: cacheRows };
    const { q, kv } = splitQkv(plan, { qkv, ...placed, heads, kvHeads, positions: rows.positions, ...network.rotary });
    return { xq: x, q, keys: cache ?? kv };
  }
  const kv = linear(plan, { x: normed, weight: weights.keyValue, bias: weights.keyValueBias, out: direct, precise });
  const xq = queries ? selectRows(plan, x, queries.index) : x;
  const normedQ = queries ? rmsNormRows({ x: xq, weight: weights.inputNorm, eps }) : normed;
  const q = linear(plan, { x: normedQ, weight: weights.query, bias: weights.queryBias, precise }); // behind kv: they share their rows in f16
  rotary(plan, { x: kv, out: kv, heads: kvHeads, positions: rows.positions, ...network.rotary });
  if (cache && cacheRows) scatterRows(plan, { source: kv, index: cacheRows, out: cache });
  rotary(plan, { x: q, out: q, heads, positions: (queries ?? rows).positions, ...network.rotary });
  return { xq, q, keys: cache ?? kv };
}

/** Arguments of {@linkcode projectBackward}. */
export interface ProjectBackwardArgs extends Omit<DecoderLayerBackwardArgs, "dout"> {
  /** Gradient of the turned queries (Q, E). It may be turned back in its place. */
  dq: Tensor;
  /** Gradient of the keys and values (C, 2·KV). It may be turned back in its place. */
  dkeys: Tensor;
  /** Gradient that reaches the rows that went on by the skip connection (Q, D). */
  residual: Tensor;
}

/** Gradient of the layer's input (T, D). Assigns. */
export function projectBackward(plan: Plan, args: ProjectBackwardArgs & { network: Network }): Tensor {
  const { dq, dkeys, residual, trace, weights, rows, queries, network } = args;
  const { heads, kvHeads, normEps: eps } = network.config.text;
  const norm = { weight: weights.inputNorm, eps };
  const width = dkeys.shape[1];
  const own = () => dkeys.view([trace.x.shape[0], width], trace.keyStart * width * 4);
  if ("qkv" in weights) {
    const placed = { dkv: trace.keyRows ? dkeys : own(), index: trace.keyRows };
    const dqkv = splitQkvBackward(plan, { dq, ...placed, heads, kvHeads, positions: rows.positions, ...network.rotary });
    return rmsNormBackward(plan, { ...norm, x: trace.x, dy: linearInputGradient(plan, { dy: dqkv, weight: weights.qkv }), residual });
  }
  const dkv = trace.keyRows ? selectRows(plan, dkeys, trace.keyRows) : own();
  const turnBack = (x: Tensor, heads: number, positions: Tensor) =>
    rotary(plan, { x, out: x, heads, positions, inverse: true, ...network.rotary });
  turnBack(dq, heads, (queries ?? rows).positions);
  turnBack(dkv, kvHeads, rows.positions);
  const dnormedQ = linearInputGradient(plan, { dy: dq, weight: weights.query });
  if (!queries) {
    const dy = linearInputGradient(plan, { dy: dkv, weight: weights.keyValue, residual: dnormedQ });
    return rmsNormBackward(plan, { ...norm, x: trace.x, dy, residual });
  }
  // The norm's gradient is linear in dy, so the rows that went on and the keys and values can be taken one after the other.
  const dx = rmsNormBackward(plan, { ...norm, x: trace.x, dy: linearInputGradient(plan, { dy: dkv, weight: weights.keyValue }) });
  const dxq = rmsNormBackward(plan, { ...norm, x: trace.xq, dy: dnormedQ, residual });
  return scatterAddRows(plan, { dy: dxq, index: queries.index, out: dx, add: true });
}

function selectRows(plan: Plan, source: Tensor, index: Tensor): Tensor {
  const out = plan.scratch([index.shape[0], source.shape[1]], { label: "selected rows" });
  gatherRows(plan, { source, index, out });
  return out;
}
