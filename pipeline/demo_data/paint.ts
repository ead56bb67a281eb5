/**
 * Painting a picture from its plan. All arithmetic is on integers, so that the same plan gives the same pixels on every machine.
 * Letters: S side of the picture.
 */
import type { Sprite } from "./sprites.ts";

/** Side of a picture in pixels (S). */
export const SIDE = 140;

/** A sprite's place. */
export interface PlacedSprite {
  /** Its name. */
  icon: string;
  /** Left edge in pixels. */
  x: number;
  /** Upper edge in pixels. */
  y: number;
  /** Side in pixels. */
  size: number;
  /** Whether left and right are swapped. */
  flipped: boolean;
}

/** Colours and sprites of a picture. */
export interface Painting {
  /** Runs of the background's two colours (RGB, 0…255). */
  background: { direction: "down" | "right" | "diagonal"; from: readonly number[]; to: readonly number[] };
  /** In the order in which they are painted. */
  sprites: readonly PlacedSprite[];
}

/** Change of a painted picture's tones; all in 256ths. */
export interface Tone {
  /** Of the distance of each channel from the pixel's luma. */
  saturation: number;
  /** Of every channel. */
  gain: number;
  /** Of what is missing to white that is added. */
  lift: number;
}

/**
 * Paints background and sprites.
 *
 * @returns RGB (S, S, 3), 0…255
 */
export function paint({ background, sprites }: Painting, artwork: ReadonlyMap<string, Sprite>): Int32Array {
  const pixels = new Int32Array(SIDE * SIDE * 3);
  const { direction, from, to } = background;
  const last = SIDE - 1;
  for (let y = 0; y < SIDE; y++) {
    for (let x = 0; x < SIDE; x++) {
      const t = direction === "down" ? 2 * y : direction === "right" ? 2 * x : x + y; // 0 … 2·last
      for (let c = 0; c < 3; c++) {
        pixels[(y * SIDE + x) * 3 + c] = Math.trunc((from[c] * (2 * last - t) + to[c] * t + last) / (2 * last));
      }
    }
  }
  for (const placed of sprites) blend(pixels, placed, artwork.get(placed.icon)!);
  return pixels;
}

/** Blends a sprite over the picture, enlarged or shrunk bilinearly with weights of 8 bits. */
function blend(pixels: Int32Array, placed: PlacedSprite, { side, rgba }: Sprite): void {
  const { size } = placed;
  /** Centre of pixel `i` in the sprite, in 256ths of its pixels. */
  const source = (i: number) => Math.min(Math.max(Math.trunc(((2 * i + 1) * side * 256) / (2 * size)) - 128, 0), (side - 1) * 256);
  for (let row = 0; row < size; row++) {
    const y = placed.y + row;
    if (y < 0 || y >= SIDE) continue;
    const fromY = source(row);
    const top = (fromY >> 8) * side;
    const bottom = Math.min((fromY >> 8) + 1, side - 1) * side;
    const weightY = fromY & 255;
    for (let column = 0; column < size; column++) {
      const x = placed.x + column;
      if (x < 0 || x >= SIDE) continue;
      const fromX = source(placed.flipped ? size - 1 - column : column);
      const left = fromX >> 8;
      const right = Math.min(left + 1, side - 1);
      const weightX = fromX & 255;
      const sample = (channel: number) => {
        const at = (i: number) => rgba[4 * i + channel];
        const upper = at(top + left) * (256 - weightX) + at(top + right) * weightX;
        const lower = at(bottom + left) * (256 - weightX) + at(bottom + right) * weightX;
        return (upper * (256 - weightY) + lower * weightY + 32768) >> 16;
      };
      const alpha = sample(3);
      if (alpha === 0) continue;
      const out = (y * SIDE + x) * 3;
      for (let c = 0; c < 3; c++) {
        pixels[out + c] = Math.min(255, sample(c) + Math.trunc((pixels[out + c] * (255 - alpha) + 127) / 255));
      }
    }
  }
}

/** Changes the tones of an RGB picture. */
export function applyTone(pixels: Int32Array, { saturation, gain, lift }: Tone): Uint8Array {
  const out = new Uint8Array(pixels.length);
  for (let i = 0; i < pixels.length; i += 3) {
    const luma = (77 * pixels[i] + 150 * pixels[i + 1] + 29 * pixels[i + 2]) >> 8;
    for (let c = 0; c < 3; c++) {
      const saturated = Math.min(255, Math.max(0, luma + (((pixels[i + c] - luma) * saturation) >> 8)));
      const gained = (saturated * gain) >> 8;
      out[i + c] = 255 - (((255 - gained) * (256 - lift)) >> 8);
    }
  }
  return out;
}

/**
 * Mean luma, and colorfulness after Hasler and Süsstrunk, "Measuring colorfulness in natural images" (2003), over 100; both clipped to 0…1.
 *
 * @param pixels RGB, 0…255
 */
export function measureTones(pixels: ArrayLike<number>): { brightness: number; colorfulness: number } {
  const count = pixels.length / 3;
  let luma = 0, redGreen = 0, yellowBlue = 0, redGreenSquares = 0, yellowBlueSquares = 0;
  for (let i = 0; i < pixels.length; i += 3) {
    const [red, green, blue] = [pixels[i], pixels[i + 1], pixels[i + 2]];
    const rg = red - green;
    const yb = (red + green) / 2 - blue;
    luma += 0.299 * red + 0.587 * green + 0.114 * blue;
    redGreen += rg;
    yellowBlue += yb;
    redGreenSquares += rg * rg;
    yellowBlueSquares += yb * yb;
  }
  redGreen /= count;
  yellowBlue /= count;
  const spread = Math.sqrt(redGreenSquares / count - redGreen ** 2 + yellowBlueSquares / count - yellowBlue ** 2);
  const mean = Math.sqrt(redGreen ** 2 + yellowBlue ** 2);
  const clip = (value: number) => Math.min(1, Math.max(0, value));
  return { brightness: clip(luma / count / 255), colorfulness: clip((spread + 0.3 * mean) / 100) };
}
