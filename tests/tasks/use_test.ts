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
