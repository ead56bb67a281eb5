import { assert, assertAlmostEquals, assertEquals, assertRejects, assertStringIncludes, assertThrows } from "@std/assert";
import { join } from "@std/path";
import { requestGpu } from "../../kernels/gpu.ts";
import { loadAspects } from "../../pipeline/aspect_attend.ts";
import { loadPrompts } from "../../pipeline/data/prompts.ts";
import { MaspError } from "../../pipeline/errors.ts";
import { predict } from "../../pipeline/evaluate.ts";
import { loadQwen2Vl } from "../../pipeline/load.ts";
import { loadSoftPrompt } from "../../pipeline/prompt_tune.ts";
import { startPageServer } from "../../pipeline/serve/page_server.ts";
import { PictureReader } from "../../pipeline/serve/picture_reader.ts";
import { GOLDEN, PICTURE, quickHandler, READING, slowHandler } from "./support.ts";

Deno.test("the endpoint says what predict says, with maps on request; damaged pictures leave it alive", async () => {
  await using gpu = await requestGpu();
  using model = await loadQwen2Vl(gpu, join(GOLDEN, "model"));
  using aspects = await loadAspects(model, join(GOLDEN, "aspect.pth"));
  using prompt = await loadSoftPrompt(model, join(GOLDEN, "soft_prompt.pt"), { layout: "code" });
  const options = {
    aspects,
    prompt,
    prompts: await loadPrompts(join(GOLDEN, "prompts.json")),
    categories: ["amusement", "anger", "awe", "fear"],
  };
  const expected = await predict(model, PICTURE, options);
  await using reader = new PictureReader(model, options);
  const handler = quickHandler({ reader });
  await using server = startPageServer(handler, { port: 0 });
  const send = (bytes: Uint8Array<ArrayBuffer>, query = "") => fetch(`${server.url}api/predict${query}`, { method: "POST", body: bytes });
  const picture = await Deno.readFile(PICTURE);

  const reading = await (await send(picture)).json();
  assertEquals(reading, JSON.parse(JSON.stringify(expected)));

  const { maps, ...rest } = await (await send(picture, "?maps=1")).json();
  assertEquals(rest, reading);
  assertEquals(maps.map(({ view }: { view: string }) => view), aspects.views);
  for (const { rows, columns, mean, queries } of maps) {
    assertEquals([mean.length, queries.length, queries[0].length], [rows * columns, aspects.tokens, rows * columns]);
    for (const weights of [mean, ...queries]) assertAlmostEquals(weights.reduce((a: number, b: number) => a + b), 1, 2e-3);
  }

  const truncated = await send(picture.slice(0, picture.length / 2));
  assertEquals(truncated.status, 422);
  const { error } = await truncated.json();
  assertStringIncludes(error, "This JPEG picture cannot be read: ");
  assert(!error.includes("upload"), error);
  assertEquals(await (await send(picture)).json(), reading);
});

Deno.test("a baseline has no maps and no aspects", async () => {
  await using gpu = await requestGpu();
  using model = await loadQwen2Vl(gpu, join(GOLDEN, "model"));
  const prompts = await loadPrompts(join(GOLDEN, "prompts.json"));
  await using reader = new PictureReader(model, { prompts, categories: ["awe", "fear"], baseline: true });
  const { maps, aspects, scores } = await reader.read(await Deno.readFile(PICTURE), { maps: true });
  assertEquals([maps, aspects, Object.keys(scores).sort()], [undefined, {}, ["awe", "fear"]]);
  await assertRejects(() => reader.read(new Uint8Array([1])), MaspError, "Cannot decode");
});

Deno.test("a server listens on this machine alone, says when its port is taken, and ends", async () => {
  const server = startPageServer(quickHandler(), { port: 0 });
  assertStringIncludes(server.url, "http://127.0.0.1:");
  const port = Number(new URL(server.url).port);
  assertThrows(() => startPageServer(quickHandler(), { port }), MaspError, `--port ${port + 1}`);
  const body = await Deno.readFile(PICTURE);
  const answer = await fetch(`${server.url}api/predict`, { method: "POST", body });
  assertEquals(await answer.json(), READING);
  await server[Symbol.asyncDispose]();
  await assertRejects(() => fetch(server.url));
});

Deno.test("a server that ends answers the picture that is read, refuses what waits, and takes no more", async () => {
  const { handler, finishNext } = slowHandler();
  const server = startPageServer(handler, { port: 0 });
  const body = await Deno.readFile(PICTURE);
  const send = () => fetch(`${server.url}api/predict`, { method: "POST", body });
  const health = async () => (await (await fetch(`${server.url}api/health`)).json()).queue;
  const read = send();
  while (!(await health()).running) await new Promise((resolve) => setTimeout(resolve, 1));
  const waits = send();
  while ((await health()).waiting === 0) await new Promise((resolve) => setTimeout(resolve, 1));
  const ending = server[Symbol.asyncDispose]();
  assertEquals((await waits).status, 503);
  assertStringIncludes((await (await waits).json()).error, "closing");
  await assertRejects(() => fetch(server.url));
  await finishNext();
  const answer = await read;
  assertEquals([answer.status, await answer.json()], [200, READING]);
  await ending;
});

Deno.test("a full queue's refusal gets through to who sends a large picture", async () => {
  const { handler, finishNext } = slowHandler({ queueLimit: 0 });
  await using server = startPageServer(handler, { port: 0 });
  const send = (body: Uint8Array<ArrayBuffer>) => fetch(`${server.url}api/predict`, { method: "POST", body });
  const first = send(await Deno.readFile(PICTURE));
  while (!(await (await fetch(`${server.url}api/health`)).json()).queue.running) await new Promise((resolve) => setTimeout(resolve, 1));
  const refused = await send(new Uint8Array(19e6));
  assertEquals(refused.status, 503);
  assertStringIncludes((await refused.json()).error, "The queue is full");
  await finishNext();
  assertEquals((await first).status, 200);
  await (await first).body?.cancel();
});
