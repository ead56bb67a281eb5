import { assertEquals } from "@std/assert";
import { mropePositions } from "../../../pipeline/qwen2_vl/mrope_positions.ts";

/** Positions as [time, row, column] of each token. */
function triples(positions: Uint32Array): number[][] {
  return Array.from({ length: positions.length / 3 }, (_, i) => [...positions.subarray(3 * i, 3 * i + 3)]);
}

Deno.test("M-RoPE: text alone counts on all axes", () => {
  assertEquals(triples(mropePositions(3, [])), [[0, 0, 0], [1, 1, 1], [2, 2, 2]]);
  assertEquals(triples(mropePositions(0, [])), []);
});

Deno.test("M-RoPE: a picture of 2 rows and 3 columns, as in the paper's figure 3", () => {
  const text = (p: number) => [p, p, p];
  const picture = [[2, 2, 2], [2, 2, 3], [2, 2, 4], [2, 3, 2], [2, 3, 3], [2, 3, 4]];
  assertEquals(triples(mropePositions(10, [{ start: 2, grid: [1, 2, 3] }])), [text(0), text(1), ...picture, text(5), text(6)]);
});

Deno.test("M-RoPE: two pictures; the text behind goes on after the largest position", () => {
  const positions = triples(mropePositions(8, [{ start: 0, grid: [1, 2, 1] }, { start: 3, grid: [1, 1, 4] }]));
  assertEquals(positions, [[0, 0, 0], [0, 1, 0], [2, 2, 2], [3, 3, 3], [3, 3, 4], [3, 3, 5], [3, 3, 6], [7, 7, 7]]);
});

Deno.test("M-RoPE: frames count in time", () => {
  const positions = triples(mropePositions(5, [{ start: 0, grid: [2, 1, 2] }]));
  assertEquals(positions, [[0, 0, 0], [0, 0, 1], [1, 0, 0], [1, 0, 1], [2, 2, 2]]);
});
