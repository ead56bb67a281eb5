/** Pictures that cannot be decoded: found before anything is computed. */
import { findBadPictures } from "./encode.ts";
import { MaspError } from "./errors.ts";

/** A picture that was passed over. */
export interface SkippedPicture {
  /** Its path. */
  image: string;
  /** Why. */
  reason: string;
}

/**
 * Decodes every picture once.
 *
 * @param options `skip`: leave those that cannot be decoded out instead of stopping
 * @returns what is left, and what was left out
 * @throws {MaspError} naming every picture that cannot be decoded, unless they are skipped, or when none is left
 */
export async function usablePictures<T extends { image: string }>(
  samples: readonly T[],
  options: { skip?: boolean } = {},
): Promise<{ usable: T[]; skipped: SkippedPicture[] }> {
  const bad = await findBadPictures(samples.map(({ image }) => image));
  const skipped = [...bad].map(([image, reason]) => ({ image, reason }));
  if (skipped.length && !options.skip) {
    throw new MaspError(
      `${skipped.length} picture(s) cannot be used:\n${skipped.map(({ reason }) => `  ${reason}`).join("\n")}\n` +
        "Replace or remove them, or leave them out with --skip-bad-images.",
    );
  }
  const usable = samples.filter(({ image }) => !bad.has(image));
  if (usable.length === 0) throw new MaspError(`None of the ${skipped.length} pictures can be decoded.`);
  return { usable, skipped };
}
