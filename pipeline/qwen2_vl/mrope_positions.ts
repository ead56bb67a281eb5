/** M-RoPE positions of plain Qwen2-VL (Wang et al. 2024, arXiv:2409.12191): text counts on all axes, a picture on rows and columns. */

/** A run of visual tokens in a sequence. */
export interface PictureSpan {
  /** Position of the first visual token. */
  start: number;
  /** Frames, rows and columns of merged tokens. */
  grid: readonly [number, number, number];
}

/**
 * Positions (L, 3) on the axes time, row, column. A picture's tokens begin at the position after the text before it; the text behind it
 * goes on after the largest of its positions.
 *
 * @example
 * ```ts
 * import { mropePositions } from "./mrope_positions.ts";
 * const positions = mropePositions(5, [{ start: 1, grid: [1, 1, 2] }]);
 * console.assert([...positions].join() === "0,0,0,1,1,1,1,1,2,3,3,3,4,4,4");
 * ```
 */
export function mropePositions(length: number, pictures: readonly PictureSpan[]): Uint32Array {
  const positions = new Uint32Array(length * 3);
  let next = 0;
  let t = 0;
  const text = (end: number) => {
    for (; t < end; t++, next++) positions.fill(next, 3 * t, 3 * t + 3);
  };
  for (const { start, grid: [frames, rows, columns] } of pictures) {
    text(start);
    for (let i = 0; i < frames * rows * columns; i++, t++) {
      const place = [Math.floor(i / (rows * columns)), Math.floor(i / columns) % rows, i % columns];
      place.forEach((offset, axis) => positions[3 * t + axis] = next + offset);
    }
    next += Math.max(frames, rows, columns);
  }
  text(length);
  return positions;
}
