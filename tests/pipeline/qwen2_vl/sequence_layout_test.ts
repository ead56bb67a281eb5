import { assertEquals } from "@std/assert";
import { layoutSequences, roundAnswers, roundRows, totalRows } from "../../../pipeline/qwen2_vl/sequence_layout.ts";

const pairs = (values: Uint32Array) => Array.from({ length: values.length / 2 }, (_, i) => [values[2 * i], values[2 * i + 1]]);

Deno.test("sequence layout: sizes are rounded up to few numbers", () => {
  assertEquals([0, 1, 8, 9, 256, 257, 1024, 1025].map(roundRows), [8, 8, 8, 16, 256, 288, 1024, 1088]);
  assertEquals([0, 1, 4, 5].map(roundAnswers), [4, 4, 4, 8]);
  assertEquals(totalRows([{ length: 3, answers: [] }, { length: 2, answers: [], reserve: 4 }]), 9);
});

Deno.test("sequence layout: two sequences behind each other, room behind the first, padding at the end", () => {
  const layout = layoutSequences([{ length: 2, answers: [1], reserve: 1 }, { length: 3, answers: [0, 2] }], { rows: 8, answers: 4 });
  assertEquals(layout.starts, [0, 3]);
  assertEquals([...layout.positions].filter((_, i) => i % 3 === 0), [0, 1, 0, 0, 1, 2, 0, 0]);
  assertEquals(pairs(layout.ranges), [[0, 1], [0, 2], [0, 0], [3, 4], [3, 5], [3, 6], [0, 0], [0, 0]]);
  assertEquals(pairs(layout.keyRanges), [[0, 2], [1, 2], [0, 0], [3, 6], [4, 6], [5, 6], [0, 0], [0, 0]]);
  assertEquals([...layout.answers], [1, 3, 5, 0]);
  assertEquals([...layout.answerPositions], [1, 1, 1, 0, 0, 0, 2, 2, 2, 0, 0, 0]);
  assertEquals(pairs(layout.answerRanges), [[0, 2], [3, 4], [3, 6], [0, 0]]);
  assertEquals(pairs(layout.answerKeyRanges), [[0, 1], [0, 1], [0, 0], [1, 3], [2, 3], [2, 3], [0, 0], [0, 0]]);
});

Deno.test("sequence layout: given positions are kept on all axes", () => {
  const layout = layoutSequences([{ length: 2, answers: [1], positions: [0, 0, 0, 1, 7, 9] }], { rows: 3, answers: 1 });
  assertEquals([...layout.positions], [0, 0, 0, 1, 7, 9, 0, 0, 0]);
  assertEquals([...layout.answerPositions], [1, 7, 9]);
});

Deno.test("sequence layout: behind three keys of a head that begins at key 1", () => {
  const layout = layoutSequences([{ length: 2, answers: [1] }], { rows: 3, answers: 1, before: { first: 1, end: 4 } });
  assertEquals([...layout.positions], [3, 3, 3, 4, 4, 4, 0, 0, 0]);
  assertEquals(pairs(layout.ranges), [[1, 5], [1, 6], [0, 0]]);
  assertEquals(pairs(layout.keyRanges).slice(0, 4), [[0, 0], [0, 0], [0, 0], [0, 0]], "no gradient goes into the head");
  assertEquals(pairs(layout.keyRanges).slice(4), [[0, 2], [1, 2], [0, 0]]);
  assertEquals(pairs(layout.answerRanges), [[1, 6]]);
});
