/** The colours of attention maps: one scale for overlays in files, in the report and on the page. */

/**
 * Stops of the scale, evenly spaced from nothing to the highest weight: red, green, blue and opacity, each 0 to 255. The colours are those of
 * Matplotlib's "plasma" (CC0), which rises evenly in perceived lightness and reads without seeing red or green; the opacity grows from nothing,
 * so that what is not looked at stays the picture itself.
 */
export const COLOUR_STOPS: readonly (readonly [red: number, green: number, blue: number, opacity: number])[] = [
  [13, 8, 135, 0],
  [84, 2, 163, 70],
  [139, 10, 165, 115],
  [185, 50, 137, 150],
  [219, 92, 104, 176],
  [244, 136, 73, 196],
  [254, 188, 43, 212],
  [240, 249, 33, 224],
];

/**
 * The scale as a table for 256 levels.
 *
 * @param options `opacity`: factor on the opacity, 1 when left out
 * @returns (256, 4): red, green, blue, opacity of every level
 *
 * @example
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { colourTable } from "./colour_scale.ts";
 *
 * assertEquals([...colourTable().subarray(4 * 255)], [240, 249, 33, 224]);
 * ```
 */
export function colourTable(options: { opacity?: number } = {}): Uint8Array<ArrayBuffer> {
  const { opacity = 1 } = options;
  const table = new Uint8Array(256 * 4);
  const last = COLOUR_STOPS.length - 1;
  for (let level = 0; level < 256; level++) {
    const place = level / 255 * last;
    const below = Math.min(Math.floor(place), last - 1);
    for (let channel = 0; channel < 4; channel++) {
      const [a, b] = [COLOUR_STOPS[below][channel], COLOUR_STOPS[below + 1][channel]];
      const value = (a + (place - below) * (b - a)) * (channel === 3 ? opacity : 1);
      table[4 * level + channel] = Math.min(255, Math.round(value));
    }
  }
  return table;
}
