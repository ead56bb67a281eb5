/** The page's server as a process: how it ends. */
import { assert, assertEquals, assertMatch } from "@std/assert";
import { join, toFileUrl } from "@std/path";
import { GOLDEN, PROJECT, type RunningTask, type RunTaskOptions, startTask, type Workplace, workplace } from "./support.ts";

/** Starts `deno task serve` on a free port. @returns the task, and the page's address once it answers */
async function startServer(
  place: Workplace,
  options: { args?: string[] } & RunTaskOptions = {},
): Promise<{ task: RunningTask; url: string }> {
  using listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const { port } = listener.addr;
  listener.close();
  const task = await startTask("serve", ["--config", place.config, "--port", `${port}`, ...options.args ?? []], options);
  const url = `http://127.0.0.1:${port}/`;
  const patience = performance.now() + 60_000;
  while (performance.now() < patience) {
    const response = await fetch(url).catch(() => undefined);
    await response?.body?.cancel();
    if (response?.ok) return { task, url };
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  throw new Error(`serve does not answer: ${JSON.stringify(await task.outcome)}`);
}

Deno.test("Ctrl-C and SIGTERM end the server after the picture that is being read", async () => {
  await using place = await workplace();
  const picture = await Deno.readFile(join(GOLDEN, "images", "rocket_201x133.jpg"));
  for (const signal of ["SIGINT", "SIGTERM"] as const) {
    const { task, url } = await startServer(place, { args: ["--plain"] });
    const { method, views } = await (await fetch(`${url}api/health`)).json();
    assertEquals([method, views], ["soft prompt without aspect tokens", []]);
    let answered = false;
    const answer = fetch(`${url}api/predict?maps=1`, { method: "POST", body: picture }).finally(() => answered = true);
    while (!answered && !(await (await fetch(`${url}api/health`)).json()).queue.running);
    task.interrupt(signal);
    const reading = await (await answer).json();
    assertEquals([typeof reading.emotion, reading.aspects, reading.maps], ["string", {}, undefined]);
    const { code, stdout, stderr } = await task.outcome;
    assertEquals(code, 0, stdout + stderr);
    assertMatch(stderr, /Stopping after the picture that is being read/);
  }
});

Deno.test("a lost GPU ends the server with status 1 and a message, so that a supervisor can start it again", async () => {
  await using place = await workplace();
  const { task } = await startServer(place, { preload: toFileUrl(join(PROJECT, "tests", "tasks", "lost_gpu.ts")).href });
  const { code, stderr } = await task.outcome;
  assertEquals(code, 1);
  assertMatch(stderr, /The GPU was lost .*Start deno task serve again/);
  assert(!/^\s+at /m.test(stderr), stderr);
});
