/** Several sequences in one pass, each behind a head of its own in the caches. */
import { assert, assertEquals, assertLess, assertThrows } from "@std/assert";
import { commonHead, PromptHead } from "../../../pipeline/qwen2_vl/prompt_head.ts";
import { layoutSequences } from "../../../pipeline/qwen2_vl/sequence_layout.ts";
import { NO_ROW } from "../../../pipeline/qwen2_vl/language_model.ts";
import { modelTest } from "../stages/support.ts";

const pairs = (ranges: Uint32Array) => Array.from({ length: ranges.length / 2 }, (_, i) => [...ranges.subarray(2 * i, 2 * i + 2)]);

Deno.test("slots: rows follow each other, keys lie a stride apart behind their heads; padding writes where nobody looks", () => {
  const before = { first: 1, end: 3, stride: 8 };
  const layout = layoutSequences([{ length: 2, answers: [1] }, { length: 3, answers: [0, 2] }], { rows: 6, answers: 4, keys: 16, before });
  assertEquals(layout.starts, [0, 2]);
  assertEquals(layout.places, [{ first: 1, own: 3 }, { first: 9, own: 11 }]);
  assertEquals([...layout.cacheRows], [3, 4, 11, 12, 13, 15]);
  assertEquals(pairs(layout.ranges), [[1, 4], [1, 5], [9, 12], [9, 13], [9, 14], [0, 0]]);
  assertEquals(pairs(layout.answerRanges), [[1, 5], [9, 12], [9, 14], [0, 0]]);
  assertEquals([...layout.positions.filter((_, i) => i % 3 === 0)], [2, 3, 2, 3, 4, 0]);
  const seen = pairs(layout.keyRanges).map(([from, to]) => to > from);
  assertEquals(seen.flatMap((is, key) => is ? [key] : []), [3, 4, 11, 12, 13], "no gradient goes into the heads");
  assertEquals(pairs(layout.answerKeyRanges)[12], [2, 3]);
  const without = { rows: 6, answers: 4, before: { first: 1, end: 3 } };
  assertThrows(() => layoutSequences([{ length: 1, answers: [] }, { length: 1, answers: [] }], without), Error, "stride");
});

Deno.test("slots: the head that several prompts share", () => {
  const ids = (...tokens: number[]) => ({ ids: Uint32Array.from([...tokens, NO_ROW, 9]) });
  assertEquals(commonHead([ids(1, 2, 3)]), [1, 2, 3]);
  assertEquals(commonHead([ids(1, 2, 3), ids(1, 2, 4, 5)]), [1, 2]);
  assertEquals(commonHead([ids(1, 2, 3), ids(1, 2)]), [1, 2]);
  assertEquals(commonHead([ids(1), ids(2)]), []);
  assertEquals(commonHead([]), []);
});

modelTest("slots: every slot holds the head, also when there are more or larger ones than before", async (model) => {
  using head = new PromptHead(model.network);
  const tokens = [5, 6, 7, 8, 9];
  const headsOf = async (rows: number, slots: number) => {
    const { caches, first, end, stride, slots: all } = head.prepare(tokens, rows, { slots });
    assert(all >= slots && stride >= end + rows);
    const cache = await model.gpu.readFloats(caches[1]);
    const width = caches[1].shape[1];
    return Array.from({ length: all }, (_, s) => cache.slice((s * stride + first) * width, (s * stride + end) * width));
  };
  const [alone] = await headsOf(10, 1);
  assert(alone.some((value) => value !== 0));
  for (const [rows, slots] of [[10, 3], [200, 2], [10, 1], [400, 1], [10, 6], [10, 3], [130, 3]]) {
    for (const heads of await headsOf(rows, slots)) assertEquals(heads, alone);
  }
});

modelTest("slots: caches are as large as the largest pass needs, not as the most slots times the longest sequence", (model) => {
  using head = new PromptHead(model.network);
  const rowsOf = (rows: number, slots: number) => head.prepare([5, 6, 7], rows, { slots }).caches[0].shape[0];
  const long = rowsOf(900, 1);
  assertLess(long, 1024 + 64);
  assertEquals(rowsOf(100, 8), 8 * 128);
  const { generation, caches } = head.prepare([5, 6, 7], 900);
  assertEquals(caches[0].shape[0], Math.max(long, 8 * 128));
  for (const [rows, slots] of [[100, 8], [50, 3], [900, 1]]) {
    assertEquals(head.prepare([5, 6, 7], rows, { slots }).generation, generation, "caches that suffice were replaced");
  }
  const larger = head.prepare([5, 6, 7], 200, { slots: 8 });
  assert(larger.generation !== generation && caches.every(({ storage }) => !storage.buffer), "plans of freed caches would be run");
  return Promise.resolve();
});
