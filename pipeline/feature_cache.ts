/** Visual features on the disk, a file per picture. Letters: N visual tokens of a picture, D hidden. */
import { join } from "@std/path";
import { writeFileAtomic } from "./checkpoint/atomic_write.ts";
import { openSafetensors, writeSafetensors } from "./checkpoint/safetensors.ts";
import { MaspError } from "./errors.ts";

/** Files that are written at once, so that a slow disk does not fill the memory with what waits for it. */
const AT_ONCE = 32;

/** Frames, rows and columns of a picture's merged tokens. */
export type Grid = readonly [number, number, number];

/** Features as they are on the disk. */
export interface StoredFeatures {
  /** [N, D] */
  shape: number[];
  /** (N, D) */
  data: Float32Array<ArrayBuffer>;
  /** Of the N tokens. */
  grid: Grid;
}

/** Options of {@linkcode FeatureCache}. */
export interface FeatureCacheOptions {
  /** The folder; made when first written to. */
  dir: string;
  /** Tells vision towers, number types and precisions apart. */
  visionId: string;
  /** D */
  hidden: number;
  /** Told once when a file cannot be written. Nothing more is written then. */
  onWarning?: (text: string) => void;
}

/**
 * A folder of features. A file's key is the SHA-256 of the picture's bytes and the picture processor's settings, below a folder of the vision tower's
 * own. Damaged or unreadable files count as absent.
 */
export class FeatureCache {
  readonly #options: FeatureCacheOptions;
  readonly #writes = new Set<Promise<void>>();
  #failure?: Error;

  /** @param options see {@linkcode FeatureCacheOptions} */
  constructor(options: FeatureCacheOptions) {
    this.#options = options;
  }

  /** Why features could not be written; nothing as long as they could. */
  get failure(): Error | undefined {
    return this.#failure;
  }

  /** Where the features of a picture belong. @param bytes the picture's file; @param config the picture processor's settings */
  async pathOf(bytes: Uint8Array<ArrayBuffer>, config: unknown): Promise<string> {
    const key = new Blob([bytes, JSON.stringify(config)]);
    const hash = new Uint8Array(await crypto.subtle.digest("SHA-256", await key.arrayBuffer())).toHex();
    return join(this.#options.dir, this.#options.visionId, hash.slice(0, 2), `${hash}.safetensors`);
  }

  /** Features from the disk; nothing when they are not there, damaged or cannot be read: then the picture is encoded again. */
  async read(path: string): Promise<StoredFeatures | undefined> {
    try {
      await Deno.stat(path);
      using file = openSafetensors(path);
      const { shape, data } = file.readTensor("features");
      const grid = JSON.parse(file.metadata.grid ?? "[]") as Grid;
      const fits = shape.length === 2 && shape[1] === this.#options.hidden && grid.reduce((a, b) => a * b, 1) === shape[0];
      return fits && data instanceof Float32Array ? { shape: [...shape], data: data as Float32Array<ArrayBuffer>, grid } : undefined;
    } catch {
      return undefined; // what is wrong with the folder is told when it is written to
    }
  }

  /** Writes features, some time; see {@linkcode FeatureCache.flush}. @param features their data is asked for at once */
  write(path: string, features: { shape: readonly number[]; grid: Grid; data: () => Promise<Float32Array> }): void {
    if (this.#failure) return;
    const { shape, grid, data } = features;
    const write = data().then((data) =>
      writeSafetensors(path, { features: { dtype: "F32", shape: [...shape], data } }, { metadata: { grid: JSON.stringify(grid) } })
    ).catch((error) => this.#fail(error)).finally(() => this.#writes.delete(write));
    this.#writes.add(write);
  }

  /** Waits while too many files are being written. */
  async room(): Promise<void> {
    while (this.#writes.size > AT_ONCE) await Promise.race(this.#writes);
  }

  /** Waits until nothing is being written. */
  async settled(): Promise<void> {
    while (this.#writes.size) await Promise.all(this.#writes);
  }

  /** Waits until everything is written. @throws {MaspError} when something could not be, now or before */
  async flush(): Promise<void> {
    await this.settled();
    if (this.#failure) throw this.#failure;
  }

  #fail(error: unknown): void {
    if (this.#failure) return;
    if (!(error instanceof MaspError)) { // not the disk's
      this.#failure = error as Error;
      return;
    }
    const { dir, onWarning } = this.#options;
    this.#failure = cannotWrite(dir, error);
    onWarning?.(`${this.#failure.message}. The run goes on without it.`);
  }
}

/** Whether files can be written to a feature cache, before much work is done for it. @throws {MaspError} when not */
export async function requireWritable(dir: string): Promise<void> {
  const path = join(dir, `.writable-${crypto.randomUUID().slice(0, 8)}`);
  try {
    await writeFileAtomic(path, "");
    await Deno.remove(path);
  } catch (error) {
    throw cannotWrite(dir, error as Error);
  }
}

function cannotWrite(dir: string, error: Error): MaspError {
  const reason = error.cause instanceof Error ? error.cause.message : error.message;
  return new MaspError(`Cannot write the feature cache "${dir}": ${reason}; choose another folder with --feature-cache, or leave it out`, {
    cause: error,
  });
}
