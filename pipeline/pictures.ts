/** Pictures that cannot be used: found before anything is computed. */
import { mapParallel } from "./data/map_parallel.ts";
import { readPicture } from "./data/read_picture.ts";
import { MaspError } from "./errors.ts";

/** Pictures that are decoded at once: as many as sharp has threads, so that the memory stays small. */
const AT_ONCE = 4;

/** A picture that was passed over. */
export interface SkippedPicture {
  /** Its path. */
  image: string;
  /** Why. */
  reason: string;
}

/** Options of {@linkcode usablePictures}. */
export interface UsablePicturesOptions extends FindBadPicturesOptions {
  /** Leave those that cannot be used out instead of stopping. */
  skip?: boolean;
}

/** Options of {@linkcode findBadPictures}. */
export interface FindBadPicturesOptions {
  /** Told after every picture how many were looked at, of how many. */
  onPicture?: (done: number, total: number) => void;
  /** Ends the work before the next picture. */
  signal?: AbortSignal;
}

/**
 * Decodes every picture once.
 *
 * @param samples whatever has a path of a picture, several of the same too
 * @param options see {@linkcode UsablePicturesOptions}
 * @returns what is left, and what was left out
 * @throws {MaspError} naming every picture that cannot be used, unless they are skipped, or when none is left
 * @throws the signal's reason when it ends the work
 */
export async function usablePictures<T extends { image: string }>(
  samples: readonly T[],
  options: UsablePicturesOptions = {},
): Promise<{ usable: T[]; skipped: SkippedPicture[] }> {
  const bad = await findBadPictures(samples.map(({ image }) => image), options);
  const skipped = [...bad].map(([image, reason]) => ({ image, reason }));
  if (skipped.length && !options.skip) {
    throw new MaspError(
      `${skipped.length} picture(s) cannot be used:\n${skipped.map(({ reason }) => `  ${reason}`).join("\n")}\n` +
        "Replace or remove them, or leave them out with --skip-bad-images.",
    );
  }
  const usable = samples.filter(({ image }) => !bad.has(image));
  if (usable.length === 0) {
    const [first] = skipped;
    throw new MaspError(`None of the ${skipped.length} pictures can be used${first ? `; the first: ${first.reason}` : ""}`);
  }
  return { usable, skipped };
}

/**
 * Decodes every picture once and names all that cannot be used: unreadable, empty, no picture, damaged anywhere, too large, or too narrow for
 * Qwen2-VL.
 *
 * @param images paths
 * @param options see {@linkcode FindBadPicturesOptions}
 * @returns the message of each picture that fails, by path, sorted
 * @throws the signal's reason when it ends the work
 */
export async function findBadPictures(images: Iterable<string>, options: FindBadPicturesOptions = {}): Promise<Map<string, string>> {
  const { onPicture, signal } = options;
  const unique = [...new Set(images)];
  const reasons = await mapParallel(unique, reasonOf, { atOnce: AT_ONCE, onDone: onPicture, signal });
  const failed = unique.filter((_, index) => reasons[index] !== undefined).sort();
  const bad = new Map<string, string>();
  for (const image of failed) { // one by one: of decoders that fail at the same time, libvips confuses the reasons
    signal?.throwIfAborted();
    const reason = await reasonOf(image);
    if (reason !== undefined) bad.set(image, reason);
  }
  return bad;
}

/** Why a picture cannot be used; nothing when it can. */
async function reasonOf(image: string): Promise<string | undefined> {
  try {
    await readPicture(image);
    return undefined;
  } catch (error) {
    if (error instanceof MaspError) return error.message;
    throw error;
  }
}
