/** A run whose process is killed at any moment goes on to the same files, bit for bit. */
import { assert, assertEquals } from "@std/assert";
import { fromFileUrl, join } from "@std/path";
import { savedSteps } from "../../../pipeline/checkpoint/run_state.ts";
import { readMetrics } from "../../../pipeline/report/metrics_log.ts";
import { runStage1 } from "../../../pipeline/runs.ts";
import { runSettings } from "./run_settings.ts";
import { deviceTest, temporaryFolder } from "./support.ts";

const CHILD = fromFileUrl(new URL("./run_child.ts", import.meta.url));

/** Starts a run and kills it so long after its first checkpoint behind `after`. @returns whether it was killed before its end */
async function killedRun(
  flags: Record<string, string> & { output_dir: string },
  options: { after: number; delay: number },
): Promise<boolean> {
  const { after, delay } = options;
  const resume = after > 0 ? "resume" : "anew";
  const command = new Deno.Command(Deno.execPath(), {
    args: ["run", "--no-check", "-A", CHILD, JSON.stringify(flags), resume],
    stdout: "null",
    stderr: "null",
  });
  const child = command.spawn();
  let ended = false;
  child.status.then(() => ended = true);
  const wait = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));
  while (!ended && ((await savedSteps(join(flags.output_dir, "checkpoints")))[0] ?? 0) <= after) await wait(5);
  await wait(delay);
  try {
    child.kill("SIGKILL");
  } catch {
    // it ended by itself
  }
  const { signal } = await child.status;
  return signal === "SIGKILL";
}

deviceTest("kill: stage 1 goes on to the same files after SIGKILLs at arbitrary moments", async (gpu) => {
  using dir = temporaryFolder();
  const flags = { max_steps: "24", save_steps: "1", logging_steps: "4", VIEW_NAMES: "scene,brightness", num_train_epochs: "3" };
  const output_dir = dir.file("killed");
  const kills: boolean[] = [];
  for (const delay of [37, 101]) {
    const [after = 0] = await savedSteps(join(output_dir, "checkpoints"));
    kills.push(await killedRun({ ...flags, output_dir }, { after, delay }));
  }
  assert(kills[0], "the first run ended before it was killed");
  const [at] = await savedSteps(join(output_dir, "checkpoints"));
  const resumed = await runStage1(gpu, await runSettings("stage1", { ...flags, output_dir }), { resume: true });
  assertEquals([resumed.finished, resumed.steps], [true, 24]);
  assert(at > 0 && at <= 24);
  const whole = await runStage1(
    gpu,
    await runSettings("stage1", { ...flags, output_dir: dir.file("whole") }),
  );
  assertEquals(await Deno.readFile(resumed.outputPath), await Deno.readFile(whole.outputPath));
  const lines = await readMetrics(join(output_dir, "metrics.jsonl"));
  assertEquals(lines.map(({ step }) => step), Array.from({ length: 6 }, (_, i) => 4 * i + 3));
  assertEquals(lines, await readMetrics(dir.file("whole", "metrics.jsonl")));
  const left = [...Deno.readDirSync(join(output_dir, "checkpoints"))].map(({ name }) => name).filter((name) => name.includes(".tmp-"));
  assertEquals(left, []);
});
