import { assertEquals, assertThrows } from "@std/assert";
import { parseArgs } from "@std/cli";
import { parse } from "@std/yaml";
import { join } from "@std/path";
import { exists } from "@std/fs";

Deno.test("std: yaml, path, fs and flags behave as the originals", async () => {
  assertEquals(parse("a: 1\nb: [x, y]"), { a: 1, b: ["x", "y"] });
  assertEquals(join("a", "..", "b"), "b");
  assertEquals(await exists("deno.json"), true);
  assertEquals(parseArgs(["--seed", "3", "x", "--dry"], { string: ["seed"], boolean: ["dry"] }), { _: ["x"], seed: "3", dry: true });
  assertThrows(() => assertEquals(1, 2));
});
