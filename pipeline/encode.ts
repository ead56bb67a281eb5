/**
 * Stage "encode": pictures → visual features on the GPU, each picture once: kept in GPU memory, and on disk where a folder is given.
 * Letters: N visual tokens of a picture, D hidden.
 */
import type { Tensor } from "../kernels/tensor.ts";
import { decodeForModel, readPictureFile } from "./data/read_picture.ts";
import { FeatureCache, type StoredFeatures } from "./feature_cache.ts";
import type { Qwen2Vl } from "./load.ts";
import { PictureQueue } from "./qwen2_vl/preprocess/picture_queue.ts";
import type { ProcessedPicture } from "./qwen2_vl/preprocess/preprocess.ts";

/** Features are kept in so many bytes of GPU memory, where nothing else is said. */
export const FEATURE_BYTES = 512 * 2 ** 20;

/** Options of {@linkcode FeatureStore}. */
export interface FeatureStoreOptions {
  /** Folder in which features are kept from run to run; none when left out. */
  cacheDir?: string;
  /** Told once when features cannot be written to that folder: the store goes on without it. `flush` throws then. */
  onWarning?: (text: string) => void;
  /** Features are kept in this many bytes of GPU memory; 512 MiB when left out. */
  gpuBytes?: number;
  /** Gives the pictures by name, where they are no files; these are not kept on the disk. */
  read?: (image: string) => Promise<ProcessedPicture>;
}

/** A picture's visual features. */
export interface VisualFeatures {
  /** (N, D) */
  readonly tensor: Tensor;
  /** Frames, rows and columns of the N merged tokens. */
  readonly grid: readonly [number, number, number];
}

interface Prepared {
  path?: string;
  picture?: ProcessedPicture;
  stored?: StoredFeatures;
}

/** What {@linkcode FeatureStore} did. */
export interface FeatureStoreCounters {
  /** Pictures that went through the vision tower. */
  encoded: number;
  /** Pictures whose features came from the disk. */
  fromDisk: number;
  /** Pictures whose features were on the GPU already. */
  fromGpu: number;
}

/** Visual features by picture, in GPU memory and, where a folder is given, on the disk. */
export class FeatureStore implements AsyncDisposable {
  /** What was done so far. */
  readonly counters: FeatureStoreCounters = { encoded: 0, fromDisk: 0, fromGpu: 0 };
  readonly #model: Qwen2Vl;
  readonly #options: FeatureStoreOptions;
  readonly #features = new Map<string, VisualFeatures>();
  readonly #prepared = new Map<string, Promise<Prepared>>();
  readonly #queue: PictureQueue;
  readonly #cache?: FeatureCache;
  /** When the call of `getAll` that gave features ended; those that gave them before any call that is under way began are left out. */
  readonly #given = new Map<VisualFeatures, number>();
  /** When the calls that are under way began. */
  readonly #begun = new Set<number>();
  #bytes = 0;
  /** Counts the beginnings and ends of calls. */
  #clock = 0;
  #latest: Promise<unknown> = Promise.resolve();

  /** An empty store of features that the model's vision tower makes. */
  constructor(model: Qwen2Vl, options: FeatureStoreOptions = {}) {
    this.#model = model;
    this.#options = options;
    this.#queue = new PictureQueue(model.processor);
    const { cacheDir: dir, onWarning } = options;
    if (dir) this.#cache = new FeatureCache({ dir, visionId: model.visionId, hidden: model.network.config.text.hidden, onWarning });
  }

  /** Why features cannot be written to the disk; nothing as long as they can. */
  get failure(): Error | undefined {
    return this.#cache?.failure;
  }

  /** Begins to read and decode pictures that will be asked for soon. */
  prefetch(...images: string[]): void {
    for (const image of images) {
      if (this.#features.has(image) || this.#prepared.has(image)) continue;
      const prepared = this.#prepare(image);
      prepared.catch(() => {}); // reported by get()
      this.#prepared.set(image, prepared);
    }
  }

  /** Features (N, D) of a picture; see {@linkcode getAll}. */
  async get(image: string): Promise<VisualFeatures> {
    return (await this.getAll([image]))[0];
  }

  /**
   * Features of pictures, in their order; those that are not there yet go through the vision tower together. The tensors stay valid for what
   * is submitted before the next call. Calls may overlap: the tensors of one stay valid until a call ends that began after it ended.
   *
   * @throws {MaspError} when a picture cannot be read, decoded or seen by the model
   */
  async getAll(images: readonly string[]): Promise<VisualFeatures[]> {
    const began = ++this.#clock;
    this.#begun.add(began);
    this.prefetch(...images);
    const result = this.#latest.then(() => this.#getAll(images, began)).finally(() => this.#begun.delete(began)); // one call after the other
    this.#latest = result.catch(() => {});
    return await result;
  }

  /**
   * Waits until the features of every picture so far are on the disk.
   *
   * @throws {MaspError} when some could not be written, now or before
   */
  async flush(): Promise<void> {
    await this.#cache?.flush();
  }

  /** Waits for the disk and frees the GPU memory. Features that could not be written are no error here: see `onWarning` and `flush`. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#queue[Symbol.dispose]();
    await this.#latest;
    await this.#cache?.settled();
    this.#model.gpu.destroy(...[...this.#features.values()].map(({ tensor }) => tensor));
    this.#features.clear();
  }

  async #getAll(images: readonly string[], began: number): Promise<VisualFeatures[]> {
    this.prefetch(...images); // again: a call in between may have thrown some out
    const prepared = new Map<string, Prepared>();
    for (const image of new Set(images)) {
      const known = this.#features.get(image);
      if (known) {
        this.counters.fromGpu++;
        this.#features.delete(image); // to the end: most recently used
        this.#features.set(image, known);
      } else prepared.set(image, await this.#prepared.get(image)!.finally(() => this.#prepared.delete(image)));
    }
    await this.#cache?.room();
    for (const [image, features] of this.#upload(prepared)) {
      this.#bytes += features.tensor.bytes;
      this.#features.set(image, features);
    }
    const wanted = images.map((image) => this.#features.get(image)!);
    const ended = ++this.#clock;
    for (const features of wanted) this.#given.set(features, ended);
    this.#evict(began);
    return wanted;
  }

  async #prepare(image: string): Promise<Prepared> {
    if (this.#options.read) return { picture: await this.#options.read(image) };
    const bytes = await readPictureFile(image);
    const path = await this.#cache?.pathOf(bytes, this.#model.processor.config);
    const stored = path && await this.#cache?.read(path);
    if (stored) return { path, stored };
    return { path, picture: await this.#queue.process(() => decodeForModel(bytes, image)) };
  }

  #upload(prepared: ReadonlyMap<string, Prepared>): [image: string, features: VisualFeatures][] {
    const { gpu, vision, network } = this.#model;
    const { merge } = network.config.vision;
    const fresh = [...prepared.values()].flatMap(({ picture }) => picture ?? []);
    const encoded = vision.encode(...fresh)[Symbol.iterator]();
    this.counters.encoded += fresh.length;
    this.counters.fromDisk += prepared.size - fresh.length;
    return [...prepared].map(([image, { path, picture, stored }]) => {
      if (!picture) {
        const { shape, data, grid } = stored!;
        return [image, { tensor: gpu.tensor(shape, { data, label: "visual features" }), grid }];
      }
      const tensor: Tensor = encoded.next().value!;
      const grid = [picture.grid[0], picture.grid[1] / merge, picture.grid[2] / merge] as const;
      if (path) this.#cache?.write(path, { shape: tensor.shape, grid, data: () => gpu.readFloats(tensor) });
      return [image, { tensor, grid }];
    });
  }

  /** Makes room, but keeps what was given since `began`. */
  #evict(began: number): void {
    const oldest = Math.min(...this.#begun);
    for (const [features, ended] of this.#given) if (ended < oldest) this.#given.delete(features);
    const limit = this.#options.gpuBytes ?? FEATURE_BYTES;
    for (const [image, features] of this.#features) {
      if (this.#bytes <= limit) return;
      if ((this.#given.get(features) ?? 0) > began) continue;
      this.#features.delete(image);
      this.#bytes -= features.tensor.bytes;
      this.#model.gpu.destroy(features.tensor);
    }
  }
}
