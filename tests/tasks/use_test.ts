/** Tasks as scripts use them: their output, exit status and what Ctrl-C leaves. */
import { assert, assertAlmostEquals, assertEquals, assertMatch } from "@std/assert";
import { join } from "@std/path";
import { savedSteps } from "../../pipeline/checkpoint/run_state.ts";
import { startTask, workplace } from "./support.ts";

Deno.test("predict --json prints a line of JSON for each picture and nothing else", async () => {
  await using place = await workplace();
  const folder = place.file("emoset", "test", "awe");
  const pictures = (await Array.fromAsync(Deno.readDir(folder))).map(({ name }) => join(folder, name)).slice(0, 2);
  const { code, stdout, stderr } = await place.run("predict", ["--json", ...pictures]);
  assertEquals([code, stderr], [0, ""]);
  const lines = stdout.trimEnd().split("\n").map((line) => JSON.parse(line));
  assertEquals(lines.map(({ image }) => image), pictures);
  for (const { emotion, scores, aspects } of lines) {
    const shares = Object.values(scores as Record<string, number>);
    assertEquals(scores[emotion], Math.max(...shares));
    assertAlmostEquals(shares.reduce((sum, share) => sum + share, 0), 1, 1e-6);
    assertEquals(Object.keys(aspects).length, 6);
  }
});

Deno.test("check takes all stages from one settings file, and names what is missing", async () => {
  await using place = await workplace();
  const { code, stdout } = await place.run("check");
  assertEquals(code, 0, stdout);
  for (const stage of ["stage1", "stage2", "eval"]) {
    for (const what of ["memory: about", "pictures: ", `settings: ${place.config}`]) {
      assert(stdout.includes(`ok      ${stage} ${what}`), stdout);
    }
  }
  const lacking = await place.run("check", ["--aspect-data-path", place.file("nowhere")]);
  assertEquals(lacking.code, 1);
  assertMatch(lacking.stdout, /missing stage1 pictures: .*nowhere/);
});

Deno.test("check takes flags of any stage, and counts a fault that stages share once", async () => {
  await using place = await workplace();
  const flags = [
    "--num-special-tokens-in-prefix",
    "4",
    "--eval-max-new-tokens",
    "2",
    "--num-view-tokens",
    "3",
    "--soft-prompt-path",
    "x.pt",
  ];
  const { code, stdout, stderr } = await place.run("check", flags);
  assertEquals(code, 0, stdout + stderr);
  const unknown = await place.run("check", ["--sead", "4", "--model-name", place.file("nowhere")]);
  assertMatch(unknown.stdout, /wrong {3}stage1 settings: .*--sead is no known flag; did you mean --seed\?/);
  assertMatch(unknown.stdout, /wrong {3}stage2 settings: as above/);
  assertMatch(unknown.stderr, /^\s*1 thing\(s\) missing or wrong/);
  const lacking = await place.run("check", ["--model-name", place.file("nowhere"), "--train-data-path", place.file("gone")]);
  assertMatch(lacking.stderr, /^\s*2 thing\(s\) missing or wrong/);
  const noFile = await place.fails("check", [], { config: place.file("none.yaml"), says: [/thing\(s\) missing or wrong/] });
  assert(!noFile.includes("undefined"));
});

for (const [signal, status] of [["SIGINT", 130], ["SIGTERM", 143]] as const) {
  Deno.test(`${signal} ends a training with a checkpoint, says how to go on, and does not look like success`, async () => {
    await using place = await workplace();
    const output = place.file("interrupted");
    const flags = ["--output-dir", output, "--num-train-epochs", "1000", "--logging-steps", "1"];
    const task = await startTask("stage1", ["--config", place.config, ...flags]);
    const metrics = join(output, "metrics.jsonl");
    const size = () => Deno.stat(metrics).then(({ size }) => size, () => 0);
    const patience = performance.now() + 60_000;
    while (await size() === 0 && performance.now() < patience) await new Promise((resolve) => setTimeout(resolve, 20));
    task.interrupt(signal);
    const { code, stdout, stderr } = await task.outcome;
    assertEquals(code, status, stdout + stderr);
    const [, steps] = /Stopped after (\d+) steps; .*deno task stage1 --resume/.exec(stdout)!;
    assertEquals(await savedSteps(join(output, "checkpoints")), [Number(steps)]);
  });
}

Deno.test("predict goes on behind pictures that it cannot read, says why, and ends with status 1", async () => {
  await using place = await workplace();
  const folder = place.file("emoset", "test", "awe");
  const [good] = (await Array.fromAsync(Deno.readDir(folder))).map(({ name }) => join(folder, name));
  const bad = await place.write("bad.png", "no picture at all");
  const missing = place.file("missing.png");
  const { code, stdout, stderr } = await place.run("predict", [bad, missing, good]);
  assertEquals(code, 1);
  assert(stdout.includes(`${good}: `), stdout);
  assertMatch(
    stderr,
    /Cannot decode picture ".+bad\.png"[\s\S]+There is no picture ".+missing\.png"\.[\s\S]+2 of 3 pictures were not read/,
  );
  const json = await place.run("predict", ["--json", bad, good]);
  assertEquals(json.code, 1);
  const lines = json.stdout.trimEnd().split("\n").map((line) => JSON.parse(line));
  assertEquals(lines.map(({ image }) => image), [bad, good]);
  assertMatch(lines[0].error, /Cannot decode picture/);
  assertEquals(typeof lines[1].emotion, "string");
});

Deno.test("predict --plain needs no aspect modules, says nothing of aspects, and what it says is that of eval --plain", async () => {
  await using place = await workplace();
  const output = place.file("plain");
  const without = ["--plain", "--ckpt-path", place.file("nowhere.safetensors")];
  const evaluated = await place.run("eval", [...without, "--scores", "--output-dir", output]);
  assertEquals(evaluated.code, 0, evaluated.stderr);
  const [first] = (await Deno.readTextFile(join(output, "plain-predictions.jsonl"))).split("\n").map((line) => line && JSON.parse(line));
  const { code, stdout, stderr } = await place.run("predict", [...without, "--json", first.image]);
  assertEquals([code, stderr], [0, ""]);
  const { aspects, scores, text } = JSON.parse(stdout);
  assertEquals([aspects, text], [{}, first.text]);
  for (const [name, share] of Object.entries(scores as Record<string, number>)) assertAlmostEquals(share, first.scores[name], 1e-5);
  const printed = await place.run("predict", [...without, first.image]);
  assert(!/scene|brightness/.test(printed.stdout), printed.stdout);
});
