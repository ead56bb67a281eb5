/** Reads pictures that are no files: their bytes stay in memory and are forgotten afterwards. */
import { AttentionMapper } from "../aspects/attention_maps.ts";
import { decodePicture } from "../data/decode_picture.ts";
import { FeatureStore } from "../encode.ts";
import { MaspError } from "../errors.ts";
import { type EvaluationOptions, type PictureReading, predict } from "../evaluate.ts";
import type { Qwen2Vl } from "../load.ts";

/** Features of the latest pictures are kept in this many bytes of GPU memory. */
const FEATURE_BYTES = 64 * 2 ** 20;

/** A view's attention as it is sent: numbers with four digits. */
export interface SentMap {
  /** Name of the view. */
  view: string;
  /** Rows of the grid. */
  rows: number;
  /** Columns of the grid. */
  columns: number;
  /** (rows, columns), row by row: mean over the queries. */
  mean: number[];
  /** A query's weights, in the form of the mean. */
  queries: number[][];
}

/** What is said of a picture: what `predict` says, and where each view looks where that is asked for. */
export interface ServedReading extends PictureReading {
  /** A map per view. */
  maps?: SentMap[];
}

/** Options of {@linkcode PictureReader}: those of `predict`, without the store. */
export type PictureReaderOptions = Omit<EvaluationOptions, "store">;

/** Reads one picture at a time. */
export class PictureReader implements AsyncDisposable {
  readonly #model: Qwen2Vl;
  readonly #options: PictureReaderOptions;
  readonly #store: FeatureStore;
  readonly #mapper?: AttentionMapper;
  readonly #bytes = new Map<string, Uint8Array>();

  /** @param model the frozen model */
  constructor(model: Qwen2Vl, options: PictureReaderOptions) {
    this.#model = model;
    this.#options = options;
    this.#store = new FeatureStore(model, { gpuBytes: FEATURE_BYTES, read: (name) => this.#process(name) });
    const { aspects, baseline } = options;
    if (aspects && !baseline) this.#mapper = new AttentionMapper(model, { aspects, store: this.#store });
  }

  /**
   * Emotion, scores, aspects in words, and maps.
   *
   * @param bytes the picture's file
   * @param options `maps`: where each view looks, too
   * @throws {MaspError} when the picture cannot be decoded
   */
  async read(bytes: Uint8Array<ArrayBuffer>, options: { maps?: boolean } = {}): Promise<ServedReading> {
    const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", bytes));
    const name = digest.toHex(); // the same picture again has its features already
    this.#bytes.set(name, bytes);
    try {
      const reading = await predict(this.#model, name, { ...this.#options, store: this.#store });
      if (!options.maps || !this.#mapper) return reading;
      const maps = await this.#mapper.maps(name);
      return { ...reading, maps: maps.map((map) => ({ ...map, mean: rounded(map.mean), queries: map.queries.map(rounded) })) };
    } finally {
      this.#bytes.delete(name);
    }
  }

  /** Frees GPU memory. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#mapper?.[Symbol.dispose]();
    await this.#store[Symbol.asyncDispose]();
  }

  async #process(name: string) {
    const bytes = this.#bytes.get(name);
    if (!bytes) throw new MaspError(`There is no picture "${name}".`);
    return this.#model.processor.process(await decodePicture(bytes, { name: "the upload" }));
  }
}

function rounded(weights: Float32Array): number[] {
  return Array.from(weights, (weight) => Number(weight.toPrecision(4)));
}
