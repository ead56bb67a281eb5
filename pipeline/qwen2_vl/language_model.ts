/** The language model from embeddings to the hidden state of the answer rows, forward and backward. Letters as in `decoder_layer.ts`; A = Q. */
import type { Plan } from "../../kernels/plan.ts";
import { rmsNorm, rmsNormBackward } from "../../kernels/rms_norm/rms_norm.ts";
import { gatherMatrixRows, gatherRows } from "../../kernels/rows/rows.ts";
import type { Tensor } from "../../kernels/tensor.ts";
import { decoderLayer, decoderLayerBackward, type DecoderLayerTrace, type RowInputs, type SelectedRows } from "./decoder_layer.ts";
import type { Network } from "./network.ts";

/** Rows that do not come from the vocabulary: visual features, prompt rows. */
export interface EmbeddingSource {
  /** (n, D) f32 */
  readonly source: Tensor;
  /** Row of the source for each of the T rows (T) u32; 0xffffffff where another source fills the row. */
  readonly index: Tensor;
}

/** Index value of a row that a source does not fill. */
export const NO_ROW = 0xffffffff;

/** Input rows of the language model: tokens' embeddings, and rows of other sources in their places. @returns (T, D) */
export function embedRows(plan: Plan, args: { network: Network; ids: Tensor; others?: readonly EmbeddingSource[] }): Tensor {
  const { network: { weights, config }, ids, others = [] } = args;
  const out = plan.scratch([ids.shape[0], config.text.hidden], { label: "embeddings" });
  gatherMatrixRows(plan, { matrix: weights.embedding, index: ids, out });
  for (const { source, index } of others) gatherRows(plan, { source, index, out });
  return out;
}

/** Arguments of {@linkcode languageModel}. */
export interface LanguageModelArgs {
  /** (T, D) */
  x: Tensor;
  /** The T rows. */
  rows: RowInputs;
  /** The rows whose hidden state is wanted; all when left out. */
  answers?: SelectedRows;
  /** A cache (C, 2·KV) per layer. */
  caches?: readonly Tensor[];
  /** Row in the caches of the first of the T rows; 0 when left out. */
  cacheStart?: number;
  /** Row in the caches of each of the T rows, where they do not follow each other. */
  cacheRows?: Tensor;
}

/** What the backward pass needs. */
export interface LanguageModelTrace {
  readonly args: LanguageModelArgs;
  /** All that each layer keeps. */
  readonly layers: readonly DecoderLayerTrace[];
  /** Result of the last layer (A, D), before the last norm. */
  readonly last: Tensor;
}

/** All decoder layers and the last norm. @returns hidden (A, D) and what the backward pass needs */
export function languageModel(plan: Plan, args: LanguageModelArgs & { network: Network }): { hidden: Tensor; trace: LanguageModelTrace } {
  const { network, rows, answers, caches, cacheStart, cacheRows } = args;
  const { weights, config: { text } } = network;
  let x = args.x;
  const layers: DecoderLayerTrace[] = [];
  weights.layers.forEach((layer, i) => {
    const queries = i === weights.layers.length - 1 ? answers : undefined;
    const result = decoderLayer(plan, { network, x, weights: layer, rows, queries, cache: caches?.[i], cacheStart, cacheRows });
    layers.push(result.trace);
    x = result.out;
  });
  return { hidden: rmsNorm(plan, { x, weight: weights.norm, eps: text.normEps }), trace: { args, layers, last: x } };
}

/**
 * Gradient of the input rows (T, D). Assigns.
 *
 * @param args gradient of the hidden state (A, D), the trace, and whether each layer is computed again from its input instead of being kept
 */
export function languageModelBackward(
  plan: Plan,
  args: { network: Network; dhidden: Tensor; trace: LanguageModelTrace; recompute?: boolean },
): Tensor {
  const { network, dhidden, trace, recompute } = args;
  const { weights, config: { text } } = network;
  const { rows, answers, caches, cacheStart, cacheRows } = trace.args;
  let dx = rmsNormBackward(plan, { x: trace.last, weight: weights.norm, dy: dhidden, eps: text.normEps });
  for (let i = weights.layers.length - 1; i >= 0; i--) {
    const queries = i === weights.layers.length - 1 ? answers : undefined;
    const layer = { network, weights: weights.layers[i], rows, queries };
    const cached = { cache: caches?.[i], cacheStart, cacheRows };
    const kept = recompute ? decoderLayer(plan, { ...layer, ...cached, x: trace.layers[i].x }).trace : trace.layers[i];
    dx = decoderLayerBackward(plan, { ...layer, dout: dx, trace: kept });
  }
  return dx;
}
