/** Attention maps as pictures to lay over the picture. */

/** Pixels of a drawn cell's side. */
const CELL = 16;
/** Longest side of a drawing, in pixels. */
const LONGEST = 640;

/** The colours of 256 levels, from the server's stops. @returns {Uint8ClampedArray} (256, 4) */
export function colourTable(stops) {
  const table = new Uint8ClampedArray(256 * 4);
  const last = stops.length - 1;
  for (let level = 0; level < 256; level++) {
    const place = level / 255 * last;
    const below = Math.min(Math.floor(place), last - 1);
    for (let channel = 0; channel < 4; channel++) {
      const [from, to] = [stops[below][channel], stops[below + 1][channel]];
      table[4 * level + channel] = from + (place - below) * (to - from);
    }
  }
  return table;
}

/**
 * Draws a map, from transparent (no weight) to the last colour (its highest weight).
 *
 * @param {HTMLCanvasElement} canvas gets the map's size
 * @param {{ rows: number, columns: number, weights: number[] }} map
 * @param {Uint8ClampedArray} table from colourTable
 */
export function drawMap(canvas, { rows, columns, weights }, table) {
  const cell = Math.max(1, Math.min(CELL, Math.floor(LONGEST / Math.max(rows, columns))));
  const [width, height] = [columns * cell, rows * cell];
  canvas.width = width;
  canvas.height = height;
  const peak = Math.max(...weights) || 1;
  const context = canvas.getContext("2d");
  const image = context.createImageData(width, height);
  const across = Array.from({ length: width }, (_, x) => between(x, { cell, count: columns }));
  for (let y = 0, at = 0; y < height; y++) {
    const [top, bottom, down] = between(y, { cell, count: rows });
    for (let x = 0; x < width; x++, at += 4) {
      const [left, right, along] = across[x];
      const above = weights[top * columns + left] * (1 - along) + weights[top * columns + right] * along;
      const below = weights[bottom * columns + left] * (1 - along) + weights[bottom * columns + right] * along;
      const level = 4 * Math.round(255 * (above * (1 - down) + below * down) / peak);
      for (let channel = 0; channel < 4; channel++) image.data[at + channel] = table[level + channel];
    }
  }
  context.putImageData(image, 0, 0);
}

/** The two cells between whose middles a pixel lies, and how far it is from the first to the second, eased. */
function between(pixel, { cell, count }) {
  const place = Math.min(Math.max((pixel + 0.5) / cell - 0.5, 0), count - 1);
  const first = Math.floor(place);
  const part = place - first;
  return [first, Math.min(first + 1, count - 1), part * part * (3 - 2 * part)];
}

/**
 * Where a map is strongest, in words.
 *
 * @returns {{ place: string, share: number }} "upper left", and the part of all attention that the strongest cell has
 */
export function strongest({ rows, columns, weights }) {
  const share = Math.max(...weights);
  const at = weights.indexOf(share);
  const third = (index, count) => Math.min(2, Math.floor(3 * (index + 0.5) / count));
  const vertical = ["upper", "", "lower"][third(Math.floor(at / columns), rows)];
  const horizontal = ["left", "", "right"][third(at % columns, columns)];
  const place = [vertical, horizontal].filter(Boolean).join(" ");
  return { place: place === "upper" ? "top" : place === "lower" ? "bottom" : place || "middle", share };
}
