import { assertEquals } from "@std/assert";
import { continuationPasses, rowsBehind } from "../../../pipeline/qwen2_vl/continuations.ts";

const tokens = (count: number) => Array.from({ length: count }, (_, i) => i);

Deno.test("continuations: as many in a pass as make 64 rows behind all prompts; one token alone needs none", () => {
  const eight = [3, 1, 2, 3, 3, 3, 2, 3].map(tokens); // 2, 0, 1, 2, 2, 2, 1, 2 rows
  assertEquals(continuationPasses(eight, { prompts: 1 }), [[0, 2, 3, 4, 5, 6, 7]]);
  assertEquals(continuationPasses(eight, { prompts: 8 }), [[0, 2, 3, 4], [5, 6, 7]]);
  assertEquals(continuationPasses(eight, { prompts: 40 }), [[0], [2], [3], [4], [5], [6], [7]]);
  assertEquals(continuationPasses([[7], [8]], { prompts: 2 }), []);
  assertEquals(continuationPasses([tokens(200), tokens(2)], { prompts: 1 }), [[0], [1]]);
});

Deno.test("continuations: room behind a prompt for any of their passes", () => {
  for (const lengths of [[1], [3, 2], [200, 2], Array.from({ length: 90 }, () => 3)]) {
    const all = lengths.map(tokens);
    const most = rowsBehind(all);
    for (const prompts of [1, 3, 8]) {
      for (const pass of continuationPasses(all, { prompts })) {
        assertEquals(pass.reduce((sum, i) => sum + lengths[i] - 1, 0) <= most, true, `${lengths} / ${prompts}`);
      }
    }
  }
});
