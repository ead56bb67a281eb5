/**
 * A decoder layer, forward and backward. Letters: T rows of the pass, Q rows that go on (all T, or the answers alone in the last layer),
 * D hidden, E = heads · headDim, KV = kvHeads · headDim, I intermediate.
 */
import { attention } from "../../kernels/attention/attention.ts";
import { attentionBackward } from "../../kernels/attention/attention_backward.ts";
import { joinAttention } from "../../kernels/attention/join_attention.ts";
import { linear, linearInputGradient } from "../../kernels/linear/linear.ts";
import { factorPrecision } from "../../kernels/linear/matrix.ts";
import type { Plan } from "../../kernels/plan.ts";
import { rmsNormBackward, rmsNormRows } from "../../kernels/rms_norm/rms_norm.ts";
import { swigluBackwardRows, swigluRows } from "../../kernels/swiglu/swiglu.ts";
import type { Tensor } from "../../kernels/tensor.ts";
import type { Network } from "./network.ts";
import { project, projectBackward } from "./projections.ts";
import type { DecoderLayerWeights } from "./weights.ts";

/** Positions of rows and the keys that they see. */
export interface RowInputs {
  /** (rows, 3) u32 */
  readonly positions: Tensor;
  /** (rows, 2) u32 */
  readonly ranges: Tensor;
  /** Further keys that they see, none of them in `ranges` (rows, 2) u32. Neither range may be empty then; forward only. */
  readonly besides?: Tensor;
  /** (T, 2) u32; needed for the backward pass */
  readonly keyRanges?: Tensor;
}

/** Rows that alone go on behind a layer. */
export interface SelectedRows extends RowInputs {
  /** (Q) u32 */
  readonly index: Tensor;
}

/** Arguments of {@linkcode decoderLayer}. */
export interface DecoderLayerArgs {
  /** (T, D) */
  x: Tensor;
  /** The layer's weights. */
  weights: DecoderLayerWeights;
  /** The T rows. */
  rows: RowInputs;
  /** The rows that go on; all when left out. */
  queries?: SelectedRows;
  /** Keys and values (C, 2·KV) of more rows than these: the T rows' are written there and all are read from there. */
  cache?: Tensor;
  /** Row in the cache of the first of the T rows, which follow each other; 0 when left out. Its bytes must be a multiple of 256. */
  cacheStart?: number;
  /** Row in the cache of each of the T rows (T) u32, where they do not follow each other. */
  cacheRows?: Tensor;
}

/** What the backward pass needs of a forward pass. */
export interface DecoderLayerTrace {
  /** (T, D) */
  readonly x: Tensor;
  /** (Q, D) */
  readonly xq: Tensor;
  /** (Q, E), turned */
  readonly q: Tensor;
  /** All keys and values (C, 2·KV), keys turned; C = T without a cache */
  readonly keys: Tensor;
  /** Row of the keys that belongs to the first of the T rows. */
  readonly keyStart: number;
  /** Row of the keys that belongs to each of the T rows (T) u32, where they do not follow each other. */
  readonly keyRows?: Tensor;
  /** (Q, E) */
  readonly attended: Tensor;
  /** (Q, heads), of keys less this centre where there is one */
  readonly lse?: Tensor;
  readonly centre?: Tensor;
  /** (Q, D), behind the attention */
  readonly middle: Tensor;
  /** (Q, 2·I) */
  readonly gateUp: Tensor;
}

/** x += o(attention(q, k, v)); x += down(silu(gate) · up). @returns (Q, D) and what the backward pass needs */
export function decoderLayer(plan: Plan, args: DecoderLayerArgs & { network: Network }): { out: Tensor; trace: DecoderLayerTrace } {
  const { x, weights, rows, queries, cacheStart = 0, cacheRows, network } = args;
  const { heads, kvHeads, headDim, normEps: eps } = network.config.text;
  const precise = rows.keyRanges !== undefined; // a gradient will go back through it, and depends on its errors more than a result does
  const { xq, q, keys } = project(plan, { ...args, precise });
  const { ranges, besides } = queries ?? rows;
  const attend = (ranges: Tensor, lse: boolean | "centred") =>
    attention(plan, {
      q,
      k: keys,
      v: keys,
      ranges,
      heads,
      kvHeads,
      headDim,
      ...keyValueColumns(network),
      causal: true,
      lse,
      precision: factorPrecision(weights.output),
    });
  const { out: attended, lse, centre } = attend(ranges, besides ? true : precise && "centred");
  if (besides) joinAttention(plan, { out: attended, lse }, attend(besides, true));
  const middle = linear(plan, { x: attended, weight: weights.output, residual: xq, precise });
  const gateUp = linear(plan, { x: rmsNormRows({ x: middle, weight: weights.postNorm, eps }), weight: weights.gateUp, precise });
  const out = linear(plan, { x: swigluRows({ gateUp }), weight: weights.down, residual: middle, precise });
  return { out, trace: { x, xq, q, keys, keyStart: cacheStart, keyRows: cacheRows, attended, lse, centre, middle, gateUp } };
}

/** Arguments of {@linkcode decoderLayerBackward}. */
export interface DecoderLayerBackwardArgs {
  /** Gradient of the layer's result (Q, D). */
  dout: Tensor;
  /** From the forward pass. */
  trace: DecoderLayerTrace;
  /** The layer's weights. */
  weights: DecoderLayerWeights;
  /** The T rows. */
  rows: RowInputs;
  /** The rows that went on. */
  queries?: SelectedRows;
}

/** Gradient of the layer's input (T, D); the weights are frozen. Assigns. */
export function decoderLayerBackward(plan: Plan, args: DecoderLayerBackwardArgs & { network: Network }): Tensor {
  const { dout, trace, weights, rows, queries, network } = args;
  const { heads, kvHeads, headDim, normEps: eps } = network.config.text;
  const { ranges, keyRanges } = queries ?? rows;
  if (!keyRanges || !trace.lse) throw new Error("decoderLayerBackward: the forward pass kept no key ranges");
  const dinner = linearInputGradient(plan, { dy: dout, weight: weights.down });
  const dgateUp = swigluBackwardRows({ gateUp: trace.gateUp, dy: dinner });
  const dnormed = linearInputGradient(plan, { dy: dgateUp, weight: weights.gateUp });
  const dmiddle = rmsNormBackward(plan, { x: trace.middle, weight: weights.postNorm, dy: dnormed, eps, residual: dout });
  const dattended = linearInputGradient(plan, { dy: dmiddle, weight: weights.output });
  const { dq, dkv: dkeys } = attentionBackward(plan, {
    q: trace.q,
    k: trace.keys,
    v: trace.keys,
    out: trace.attended,
    lse: trace.lse,
    centre: trace.centre,
    dout: dattended,
    ranges,
    keyRanges,
    heads,
    kvHeads,
    headDim,
    ...keyValueColumns(network),
    causal: true,
    precision: factorPrecision(weights.output),
  });
  return projectBackward(plan, { ...args, dq, dkeys, residual: dmiddle });
}

/** Where keys and values lie in a row (2·KV), and the scale of the scores. */
function keyValueColumns(network: Network): { kStride: number; vStride: number; vOffset: number; scale: number } {
  const { kvHeads, headDim } = network.config.text;
  const width = kvHeads * headDim;
  return { kStride: 2 * width, vStride: 2 * width, vOffset: width, scale: 1 / Math.sqrt(headDim) };
}
