/**
 * Stage "encode": pictures → visual features on the GPU, each picture once: kept in GPU memory, and on disk where a folder is given.
 * Letters: N visual tokens of a picture, D hidden.
 */
import { exists } from "@std/fs";
import { join } from "@std/path";
import type { Tensor } from "../kernels/tensor.ts";
import { openSafetensors, writeSafetensors } from "./checkpoint/safetensors.ts";
import { decodePicture } from "./data/decode_picture.ts";
import { MaspError } from "./errors.ts";
import type { Qwen2Vl } from "./load.ts";
import { PictureQueue } from "./qwen2_vl/preprocess/picture_queue.ts";
import type { ProcessedPicture } from "./qwen2_vl/preprocess/preprocess.ts";

/** Options of {@linkcode FeatureStore}. */
export interface FeatureStoreOptions {
  /** Folder in which features are kept from run to run; none when left out. */
  cacheDir?: string;
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
  stored?: { shape: number[]; data: Float32Array<ArrayBuffer>; grid: VisualFeatures["grid"] };
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

/** Visual features by picture. The disk's key is the SHA-256 of the picture's bytes, the vision tower and the picture size limits. */
export class FeatureStore implements AsyncDisposable {
  /** What was done so far. */
  readonly counters: FeatureStoreCounters = { encoded: 0, fromDisk: 0, fromGpu: 0 };
  readonly #model: Qwen2Vl;
  readonly #options: FeatureStoreOptions;
  readonly #features = new Map<string, VisualFeatures>();
  readonly #prepared = new Map<string, Promise<Prepared>>();
  readonly #writes = new Set<Promise<void>>();
  readonly #queue: PictureQueue;
  #bytes = 0;

  /** An empty store of features that the model's vision tower makes. */
  constructor(model: Qwen2Vl, options: FeatureStoreOptions = {}) {
    this.#model = model;
    this.#options = options;
    this.#queue = new PictureQueue(model.processor);
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
   * is submitted before the next call.
   *
   * @throws {MaspError} when a picture cannot be read or decoded
   */
  async getAll(images: readonly string[]): Promise<VisualFeatures[]> {
    this.prefetch(...images);
    const prepared = new Map<string, Prepared>();
    for (const image of new Set(images)) {
      const known = this.#features.get(image);
      if (known) {
        this.counters.fromGpu++;
        this.#features.delete(image); // to the end: most recently used
        this.#features.set(image, known);
      } else prepared.set(image, await this.#prepared.get(image)!.finally(() => this.#prepared.delete(image)));
    }
    for (const [image, features] of this.#upload(prepared)) {
      this.#bytes += features.tensor.bytes;
      this.#features.set(image, features);
    }
    const wanted = images.map((image) => this.#features.get(image)!);
    this.#evict(new Set(wanted));
    return wanted;
  }

  /** Waits until the features of every picture so far are on the disk. */
  async flush(): Promise<void> {
    while (this.#writes.size) await Promise.all(this.#writes);
  }

  /** Waits for the disk and frees the GPU memory. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#queue[Symbol.dispose]();
    await this.flush();
    this.#model.gpu.destroy(...[...this.#features.values()].map(({ tensor }) => tensor));
    this.#features.clear();
  }

  async #prepare(image: string): Promise<Prepared> {
    if (this.#options.read) return { picture: await this.#options.read(image) };
    const bytes = await readPicture(image);
    const { cacheDir } = this.#options;
    const { processor, visionId } = this.#model;
    if (!cacheDir) return { picture: await this.#queue.process(() => decodePicture(bytes, { name: image })) };
    const key = new Blob([bytes, JSON.stringify(processor.config)]);
    const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", await key.arrayBuffer()));
    const hash = [...digest].map((byte) => byte.toString(16).padStart(2, "0")).join("");
    const path = join(cacheDir, visionId, hash.slice(0, 2), `${hash}.safetensors`);
    if (await exists(path)) {
      const stored = readStored(path, this.#model.network.config.text.hidden);
      if (stored) return { path, stored };
    }
    return { path, picture: await this.#queue.process(() => decodePicture(bytes, { name: image })) };
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
      if (path) this.#store(path, { tensor, grid });
      return [image, { tensor, grid }];
    });
  }

  /** Writes features to the disk, some time. */
  #store(path: string, { tensor, grid }: VisualFeatures): void {
    const write = this.#model.gpu.readFloats(tensor).then((data) =>
      writeSafetensors(path, { features: { dtype: "F32", shape: [...tensor.shape], data } }, { metadata: { grid: JSON.stringify(grid) } })
    );
    const tracked: Promise<void> = write.finally(() => this.#writes.delete(tracked));
    tracked.catch(() => {}); // reported by flush()
    this.#writes.add(tracked);
  }

  #evict(kept: ReadonlySet<VisualFeatures>): void {
    const limit = this.#options.gpuBytes ?? 512 * 2 ** 20;
    for (const [image, features] of this.#features) {
      if (this.#bytes <= limit) return;
      if (kept.has(features)) continue;
      this.#features.delete(image);
      this.#bytes -= features.tensor.bytes;
      this.#model.gpu.destroy(features.tensor);
    }
  }
}

/**
 * Decodes every picture once and names all that cannot be decoded.
 *
 * @returns the message of each picture that fails, by path
 */
export async function findBadPictures(images: Iterable<string>, options: { concurrency?: number } = {}): Promise<Map<string, string>> {
  const queue = [...new Set(images)];
  const bad = new Map<string, string>();
  const work = async () => {
    for (let image = queue.pop(); image !== undefined; image = queue.pop()) {
      try {
        await decodePicture(await readPicture(image), { name: image });
      } catch (error) {
        if (!(error instanceof MaspError)) throw error;
        bad.set(image, error.message);
      }
    }
  };
  await Promise.all(Array.from({ length: options.concurrency ?? 4 }, work));
  return new Map([...bad].sort(([a], [b]) => (a < b ? -1 : 1)));
}

async function readPicture(path: string): Promise<Uint8Array<ArrayBuffer>> {
  try {
    return await Deno.readFile(path);
  } catch (error) {
    throw new MaspError(`Cannot read the picture "${path}": ${(error as Error).message}`, { cause: error });
  }
}

/** Features on the disk, or nothing when the file is damaged: then the picture is encoded again. */
function readStored(path: string, hidden: number): Prepared["stored"] {
  try {
    using file = openSafetensors(path);
    const { shape, data } = file.readTensor("features");
    const grid = JSON.parse(file.metadata.grid ?? "[]") as VisualFeatures["grid"];
    const fits = shape.length === 2 && shape[1] === hidden && data instanceof Float32Array && grid.reduce((a, b) => a * b, 1) === shape[0];
    return fits ? { shape: [...shape], data: data as Float32Array<ArrayBuffer>, grid } : undefined;
  } catch (error) {
    if (error instanceof MaspError || error instanceof SyntaxError) return undefined;
    throw error;
  }
}
