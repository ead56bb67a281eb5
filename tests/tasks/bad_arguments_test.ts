/** Arguments that are missing, too many or out of range: one message, and nothing is made. */
import { assert, assertEquals, assertMatch } from "@std/assert";
import { exists } from "@std/fs";
import { runTask, workplace } from "./support.ts";

Deno.test("arguments of tasks without settings", async () => {
  await using place = await workplace();
  const out = place.file("made");
  const cases: [task: string, args: string[], says: RegExp][] = [
    ["demo-data", ["--train", "0", "--test", "0", out], /^--train and --test are both 0/],
    ["demo-data", ["--train", "-1", out], /^--train is -1; expected a whole number of at least 0/],
    ["demo-data", [], /^Name one folder/],
    ["bench", ["make-checkpoint", "--size", "2b", "--layers", "0", out], /^--layers is 0; expected a whole number of at least 1/],
    ["bench", ["make-checkpoint", "--size", "2b", "--layers", "x", out], /^--layers is "x"; expected a number/],
    ["bench", ["make-checkpoint", "--size", "3b", out], /^--size is "3b"; expected 2b or 7b/],
    ["bench", ["make-checkpoint", "--size", "2b", "--shard-gib", "0", out], /^--shard-gib is 0/],
    ["bench", ["tune", "--size", "3b"], /^--size is "3b"/],
    ["bench", ["tune", "--rows", "0"], /^--rows is "0"; expected whole numbers from 1 on/],
    ["bench", ["step", "--steps", "0"], /^--steps is 0/],
    ["bench", ["7b", place.file("none")], /^Cannot load ".*none": there is no such folder[^\n]*$/],
    ["bench", ["7b", "demo/model", "--values", place.file("none")], /^Cannot [^\n]*none": [^\n]*$/],
    ["bench", ["nonsense"], /^There is no bench "nonsense"/],
    ["golden", ["a", "b"], /^deno task golden takes one folder, but "b" follows/],
    ["predict", [], /^Which picture\? .*deno task predict PICTURE/],
    ["report", [], /^Which run\? deno task report DIR/],
    ["report", [place.file("emoset")], /^Cannot make a report: .* has no metrics\.jsonl and no evaluation\.json/],
  ];
  for (const [task, args, says] of cases) {
    const { code, stderr } = await runTask(task, args);
    const message = stderr.trim();
    assertEquals(code, 1, `${task} ${args.join(" ")}: ${message}`);
    assertMatch(message, says);
    assert(!/^\s+at .+:\d+/m.test(message), `a stack trace: ${message}`);
  }
  assert(!await exists(out), "something was made");
});
