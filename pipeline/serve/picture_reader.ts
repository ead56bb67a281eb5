/** Reads pictures that are no files: their bytes stay in memory and are forgotten afterwards. */
import type { GpuMark } from "../../kernels/gpu.ts";
import { attentionMaps } from "../aspects/attention_maps.ts";
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
  #store: FeatureStore;
  readonly #bytes = new Map<string, Uint8Array>();

  /** @param model the frozen model */
  constructor(model: Qwen2Vl, options: PictureReaderOptions) {
    this.#model = model;
    this.#options = options;
    this.#store = this.#newStore();
  }

  /**
   * Emotion, scores, aspects in words, and maps. An error of the GPU is that picture's alone, unless the device is lost: what was made for it is
   * dropped, and the next picture can be read.
   *
   * @param bytes the picture's file
   * @param options `maps`: where each view looks, too
   * @throws {MaspError} when the picture cannot be decoded
   * @throws {GpuError} when it cannot be computed
   */
  async read(bytes: Uint8Array<ArrayBuffer>, options: { maps?: boolean } = {}): Promise<ServedReading> {
    const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", bytes));
    const name = digest.toHex(); // the same picture again has its features already
    this.#bytes.set(name, bytes);
    const { gpu } = this.#model;
    const mark = gpu.mark();
    try {
      const reading = await this.#read(name, options);
      await gpu.sync(); // what went wrong for this picture is not told to the next one
      return reading;
    } catch (error) {
      if (!(error instanceof MaspError)) await this.#recover(mark);
      throw error;
    } finally {
      this.#bytes.delete(name);
    }
  }

  /** Frees GPU memory. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.#store[Symbol.asyncDispose]();
  }

  async #read(name: string, options: { maps?: boolean }): Promise<ServedReading> {
    const { aspects, baseline } = this.#options;
    const store = this.#store;
    const reading = await predict(this.#model, name, { ...this.#options, store });
    if (!options.maps || !aspects || baseline) return reading;
    const maps = await attentionMaps(this.#model, name, { aspects, store });
    return { ...reading, maps: maps.map((map) => ({ ...map, mean: rounded(map.mean), queries: map.queries.map(rounded) })) };
  }

  /** Drops all that outlives a picture and may be invalid: features, recorded plans, kernels and memory. */
  async #recover(mark: GpuMark): Promise<void> {
    await this.#store[Symbol.asyncDispose]();
    this.#model.vision.clear();
    await this.#model.gpu.recover(mark);
    this.#store = this.#newStore();
  }

  #newStore(): FeatureStore {
    return new FeatureStore(this.#model, { gpuBytes: FEATURE_BYTES, read: (name) => this.#process(name) });
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
