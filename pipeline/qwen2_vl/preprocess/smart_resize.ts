import { MaspError } from "../../errors.ts";
import type { PictureSize } from "./picture.ts";

/** Longest side that the MASP reference gives to Qwen2-VL, in pixels. */
const LONGEST_SIDE = 1024;
/** Longest side over shortest side that Qwen2-VL accepts. */
const LARGEST_RATIO = 200;

/** Options of {@linkcode smartResize}. */
export interface SmartResizeOptions {
  /** Both sides become multiples of this, in pixels: patch size times merge size. */
  factor: number;
  /** Smallest area, in pixels. */
  minPixels: number;
  /** Largest area, in pixels. */
  maxPixels: number;
}

/**
 * The size that Qwen2-VL sees (`smart_resize` of qwen-vl-utils and `transformers`): each side rounded to the nearest multiple of `factor` (half to even),
 * then both scaled by the same ratio where the area is out of bounds (rounded down when too large, up when too small).
 *
 * @param size Extent of the picture.
 * @param options See {@linkcode SmartResizeOptions}.
 * @throws {MaspError} When one side is more than 200 times the other.
 */
export function smartResize(size: PictureSize, options: SmartResizeOptions): PictureSize {
  const [longer, shorter] = [Math.max(size.width, size.height), Math.min(size.width, size.height)];
  if (longer / shorter > LARGEST_RATIO) throw tooNarrow(size);
  const { factor, minPixels, maxPixels } = options;
  const both = (round: (side: number) => number): PictureSize => ({
    width: Math.max(round(size.width) * factor, factor),
    height: Math.max(round(size.height) * factor, factor),
  });
  const nearest = both((side) => roundHalfEven(side / factor));
  const area = size.width * size.height;
  if (nearest.width * nearest.height > maxPixels) {
    const ratio = Math.sqrt(area / maxPixels);
    return both((side) => Math.floor(side / ratio / factor));
  }
  if (nearest.width * nearest.height < minPixels) {
    const ratio = Math.sqrt(minPixels / area);
    return both((side) => Math.ceil(side * ratio / factor));
  }
  return nearest;
}

/**
 * The size after the reference's own reduction: the longer side at most 1024, the other in proportion and cut to an integer.
 *
 * @param size Extent of the picture.
 * @returns The same size when no side is over 1024.
 * @throws {MaspError} When the shorter side would vanish.
 */
export function limitLongestSide(size: PictureSize): PictureSize {
  const longest = Math.max(size.width, size.height);
  if (longest <= LONGEST_SIDE) return size;
  const limited = { width: Math.trunc(size.width * LONGEST_SIDE / longest), height: Math.trunc(size.height * LONGEST_SIDE / longest) };
  if (Math.min(limited.width, limited.height) < 1) throw tooNarrow(size);
  return limited;
}

/**
 * Whether Qwen2-VL can see a picture of this size. The ratio that counts is that after {@linkcode limitLongestSide}, whose cutting to whole pixels can
 * only make a picture narrower.
 *
 * @param size Extent of the picture as it is in the file.
 * @param options `name`: of the picture's file, for the message.
 * @throws {MaspError} When one side is then more than 200 times the other; the message says the size in the file.
 */
export function checkPictureSize(size: PictureSize, options: { name?: string } = {}): void {
  const { width, height } = size;
  const longest = Math.max(width, height);
  const [longer, shorter] = longest <= LONGEST_SIDE
    ? [longest, Math.min(width, height)]
    : [LONGEST_SIDE, Math.trunc(Math.min(width, height) * LONGEST_SIDE / longest)];
  if (shorter < 1 || longer / shorter > LARGEST_RATIO) throw tooNarrow(size, options.name);
}

function tooNarrow({ width, height }: PictureSize, name?: string): MaspError {
  const picture = name === undefined ? "A picture" : `Picture "${name}"`;
  return new MaspError(
    `${picture} of ${width}×${height} pixels is too narrow: one side may be at most ${LARGEST_RATIO} times the other, ` +
      `after the longer one was reduced to ${LONGEST_SIDE} pixels; crop or remove it`,
  );
}

/** Python's `round`. */
function roundHalfEven(x: number): number {
  const floor = Math.floor(x);
  const rest = x - floor;
  return rest > 0.5 || (rest === 0.5 && floor % 2 !== 0) ? floor + 1 : floor;
}
