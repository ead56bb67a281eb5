import { join } from "@std/path";
import { MaspError } from "../../errors.ts";
import { readJson } from "../../read_json.ts";
import { normalizationTable, patchify } from "./patches.ts";
import type { Picture } from "./picture.ts";
import { resample } from "./resample.ts";
import { checkPictureSize, limitLongestSide, smartResize } from "./smart_resize.ts";

/** Smallest and largest area that qwen-vl-utils allows, in merge blocks; the checkpoint's own bounds apply after it. */
const MIN_BLOCKS = 4, MAX_BLOCKS = 16384;

/** What preprocessor_config.json says. */
export interface PictureProcessorConfig {
  /** Side of a patch, in pixels. */
  patchSize: number;
  /** Patches along a side of a merge block. */
  mergeSize: number;
  /** How often a picture stands in time. */
  temporalPatchSize: number;
  /** Smallest area, in pixels. */
  minPixels: number;
  /** Largest area, in pixels. */
  maxPixels: number;
  /** Mean of each channel, in 0…1. */
  mean: number[];
  /** Standard deviation of each channel, in 0…1. */
  std: number[];
  /** Factor from bytes to 0…1. */
  scale: number;
}

/** A picture as the vision tower takes it. */
export interface ProcessedPicture {
  /** Normalised patches, (P, 3 · temporalPatchSize · patchSize²); 1176 values a patch in the published models. */
  pixels: Float32Array;
  /** Patches in time, down and across: [1, rows, columns]. */
  grid: [1, number, number];
  /** P = rows · columns. */
  patches: number;
  /** Visual tokens after merging, P / mergeSize². */
  tokens: number;
}

/** Turns pictures into patches, exactly as the reference does with Pillow and `transformers`. {@linkcode loadPictureProcessor} makes one. */
export class PictureProcessor {
  /** The settings in use. */
  readonly config: PictureProcessorConfig;
  readonly #table: Float32Array;

  /**
   * Makes a processor with checked settings.
   *
   * @param config See {@linkcode PictureProcessorConfig}.
   */
  constructor(config: PictureProcessorConfig) {
    this.config = config;
    this.#table = normalizationTable(config.mean, config.std, { scale: config.scale });
  }

  /**
   * Resizes a picture to what the model sees: longer side at most 1024 (Lanczos), then sides to multiples of patch size × merge size within
   * qwen-vl-utils' bounds and then the checkpoint's (bicubic).
   *
   * @param picture (height, width, 3)
   * @throws {MaspError} When one side is more than 200 times the other.
   */
  resize(picture: Picture): Picture {
    checkPictureSize(picture); // before anything is reduced, so that the message says the picture's own size
    const { patchSize, mergeSize, minPixels, maxPixels } = this.config;
    const factor = patchSize * mergeSize;
    const utilities = { factor, minPixels: MIN_BLOCKS * factor ** 2, maxPixels: MAX_BLOCKS * factor ** 2 };
    let resized = resample(picture, limitLongestSide(picture), { filter: "lanczos" });
    resized = resample(resized, smartResize(resized, utilities), { filter: "bicubic" });
    return resample(resized, smartResize(resized, { factor, minPixels, maxPixels }), { filter: "bicubic" });
  }

  /**
   * Resizes, normalises and cuts a picture into patches.
   *
   * @param picture (height, width, 3)
   * @throws {MaspError} When one side is more than 200 times the other.
   */
  process(picture: Picture): ProcessedPicture {
    const { patchSize, mergeSize, temporalPatchSize } = this.config;
    const resized = this.resize(picture);
    const pixels = patchify(resized, { patchSize, mergeSize, temporalPatchSize, table: this.#table });
    const grid: [1, number, number] = [1, resized.height / patchSize, resized.width / patchSize];
    const patches = grid[1] * grid[2];
    return { pixels, grid, patches, tokens: patches / mergeSize ** 2 };
  }
}

/**
 * Reads `preprocessor_config.json` of a checkpoint folder. What it leaves out has the values of `Qwen2VLImageProcessor`.
 *
 * @param dir Checkpoint folder.
 * @throws {MaspError} When the file is missing or a value is not what it should be.
 */
export async function loadPictureProcessor(dir: string): Promise<PictureProcessor> {
  const path = join(dir, "preprocessor_config.json");
  return new PictureProcessor(parsePictureProcessorConfig(await readJson(path), { path }));
}

/**
 * Checks the contents of preprocessor_config.json. The area's bounds are `min_pixels` and `max_pixels`, or `size.shortest_edge` and
 * `size.longest_edge` in newer files.
 *
 * @param json The parsed file.
 * @param options `path`: the file's name for error messages.
 * @throws {MaspError} When a value is not what it should be.
 */
export function parsePictureProcessorConfig(json: Record<string, unknown>, options: { path: string }): PictureProcessorConfig {
  const fail = (key: string, value: unknown, expected: string): never => {
    throw new MaspError(
      `Cannot load "${options.path}": ${key} is ${
        JSON.stringify(value)
      }, expected ${expected}; copy the file from the published checkpoint`,
    );
  };
  const integer = (key: string, value: unknown, fallback: number): number => {
    const given = value ?? fallback;
    return Number.isInteger(given) && given as number > 0 ? given as number : fail(key, given, "a positive integer");
  };
  const channels = (key: string, fallback: number[]): number[] => {
    const given = json[key] ?? fallback;
    return Array.isArray(given) && given.length === 3 && given.every(Number.isFinite) ? given : fail(key, given, "three numbers");
  };
  const size = (json.size ?? {}) as Record<string, unknown>;
  const config: PictureProcessorConfig = {
    patchSize: integer("patch_size", json.patch_size, 14),
    mergeSize: integer("merge_size", json.merge_size, 2),
    temporalPatchSize: integer("temporal_patch_size", json.temporal_patch_size, 2),
    minPixels: integer("min_pixels", json.min_pixels ?? size.shortest_edge ?? size.min_pixels, 56 * 56),
    maxPixels: integer("max_pixels", json.max_pixels ?? size.longest_edge ?? size.max_pixels, 28 * 28 * 1280),
    mean: channels("image_mean", [0.48145466, 0.4578275, 0.40821073]),
    std: channels("image_std", [0.26862954, 0.26130258, 0.27577711]),
    scale: typeof json.rescale_factor === "number" ? json.rescale_factor : 1 / 255,
  };
  if (config.minPixels > config.maxPixels) fail("min_pixels", config.minPixels, `at most max_pixels (${config.maxPixels})`);
  if (config.std.some((value) => value <= 0)) fail("image_std", config.std, "three positive numbers");
  return config;
}
