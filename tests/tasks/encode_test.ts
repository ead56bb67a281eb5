/** The feature cache from task to task. */
import { assert, assertEquals, assertMatch } from "@std/assert";
import { workplace } from "./support.ts";

Deno.test("what encode makes is used by the stages without a word, unless they are told not to", async () => {
  await using place = await workplace();
  await Deno.writeTextFile(place.config, (await Deno.readTextFile(place.config)).replace(/^.*feature_cache.*\n/m, ""));
  await Deno.mkdir(place.file("cwd"));
  const cwd = place.file("cwd");
  const baseline = ["--baseline", "--output-dir", place.file("elsewhere")];
  const before = await place.run("eval", baseline, { cwd });
  assert(!before.stdout.includes("features"), before.stdout);
  const made = await place.run("encode", ["--stage", "eval"], { cwd });
  assertEquals(made.code, 0, made.stderr);
  assertMatch(made.stdout, /The features of all 8 pictures take about \d+ MiB on the disk, which has [\d.]+ [GM]iB left\./);
  assertMatch(made.stdout, /8 pictures encoded, 0 were there\. Features: outputs\/features; the stages take them from there/);
  const after = await place.run("eval", baseline, { cwd });
  assertMatch(after.stdout, /Visual features are kept in "outputs\/features".*feature_cache: none/);
  assertMatch((await place.run("encode", ["--stage", "eval"], { cwd })).stdout, /0 pictures encoded, 8 were there/);
  const without = await place.run("eval", [...baseline, "--feature-cache", "none"], { cwd });
  assert(!without.stdout.includes("Visual features"), without.stdout);
  await place.fails("encode", ["--feature-cache", "none"], { cwd, says: [/feature_cache is none/, /--feature-cache DIR/] });
});

Deno.test("encode writes to the folder that the settings file names; a folder that cannot be written to is one message", async () => {
  await using place = await workplace();
  const text = await Deno.readTextFile(place.config);
  await Deno.writeTextFile(place.config, text.replace("feature_cache: none", `feature_cache: ${place.file("own")}`));
  const { stdout } = await place.run("encode", ["--stage", "eval"]);
  assertMatch(stdout, /Features: .*own; the stages/);
  assert((await Array.fromAsync(Deno.readDir(place.file("own")))).length > 0);
  const bad = `${place.config}/features`;
  await place.fails("encode", ["--feature-cache", bad], { says: [/^Cannot write the feature cache ".*": .*; choose another folder/] });
  const { code, stdout: said } = await place.run("eval", ["--baseline", "--output-dir", place.file("elsewhere"), "--feature-cache", bad]);
  assertEquals(code, 0);
  assertMatch(said, /Cannot write the feature cache ".*The run goes on without it\.[^]*Written: /);
});
