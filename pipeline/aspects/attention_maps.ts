/** Where each view looks: the weights of the cross-attention over the picture. n queries of a view, N visual tokens, D hidden. */
import { Plan } from "../../kernels/plan.ts";
import type { FeatureStore } from "../encode.ts";
import type { Qwen2Vl } from "../load.ts";
import type { AspectModules } from "./aspect_modules.ts";

export { type HeatmapInput, type HeatmapOptions, heatmapPng } from "../report/heatmap.ts";

/** Where a view's queries look. */
export interface AttentionMap {
  /** Name of the view. */
  view: string;
  /** Rows of the picture's visual tokens. */
  rows: number;
  /** Columns of the picture's visual tokens. */
  columns: number;
  /** n times (rows, columns), row by row: a query's weights, which add up to 1. */
  queries: Float32Array[];
  /** (rows, columns): mean over the queries; adds up to 1. */
  mean: Float32Array;
}

/** Options of {@linkcode AttentionMapper}. */
export interface AttentionMapperOptions {
  /** Trained modules. */
  aspects: AspectModules;
  /** Features of the pictures. */
  store: FeatureStore;
}

/** Gives the maps of pictures. Use {@linkcode attentionMaps} for a single one. */
export class AttentionMapper implements Disposable {
  readonly #model: Qwen2Vl;
  readonly #options: AttentionMapperOptions;

  /** A mapper for the frozen model. */
  constructor(model: Qwen2Vl, options: AttentionMapperOptions) {
    options.aspects.expectResident();
    this.#model = model;
    this.#options = options;
  }

  /**
   * Maps of all views, in their order.
   *
   * @param picture a path, or a name that the store knows to read
   * @throws {MaspError} when the picture cannot be read or decoded
   */
  async maps(picture: string): Promise<AttentionMap[]> {
    const { aspects, store } = this.#options;
    const { gpu } = this.#model;
    const { tensor: features, grid: [frames, rows, columns] } = await store.get(picture);
    const cells = rows * columns;
    using plan = new Plan(gpu, "attention maps");
    const z = plan.persistent([aspects.tokens, aspects.hidden]); // not needed here
    const weights = aspects.views.map((view) => {
      const attention = plan.persistent([aspects.tokens, frames * cells], { label: `${view}: attention` });
      aspects.recordForward(plan, view, { features, z, attention });
      return attention;
    });
    plan.run();
    const read = await gpu.read(...weights);
    return aspects.views.map((view, v) => {
      const all = new Float32Array(read[v].buffer, read[v].byteOffset, aspects.tokens * frames * cells);
      const queries = Array.from({ length: aspects.tokens }, (_, q) => overFrames(all.subarray(q * frames * cells), { frames, cells }));
      const mean = new Float32Array(cells).map((_, i) => queries.reduce((sum, query) => sum + query[i], 0) / queries.length);
      return { view, rows, columns, queries, mean };
    });
  }

  /** Frees nothing that others hold; after it the mapper must not be used. */
  [Symbol.dispose](): void {}
}

/**
 * Where each view looks in a picture.
 *
 * @param model the frozen model
 * @param picture its path
 * @param options trained modules, and where features come from
 * @returns a map per view, in the modules' order
 * @throws {MaspError} when the picture cannot be read or decoded
 */
export async function attentionMaps(model: Qwen2Vl, picture: string, options: AttentionMapperOptions): Promise<AttentionMap[]> {
  using mapper = new AttentionMapper(model, options);
  return await mapper.maps(picture);
}

/** Weights of a query, added up over the frames. */
function overFrames(weights: Float32Array, { frames, cells }: { frames: number; cells: number }): Float32Array {
  const sums = weights.slice(0, cells);
  for (let i = cells; i < frames * cells; i++) sums[i % cells] += weights[i];
  return sums;
}
