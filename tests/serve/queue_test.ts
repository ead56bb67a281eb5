import { assertEquals, assertMatch, assertRejects } from "@std/assert";
import type { PageHandler } from "../../pipeline/serve/handler.ts";
import { HttpError } from "../../pipeline/serve/http_error.ts";
import { JobQueue } from "../../pipeline/serve/job_queue.ts";
import { eventsOf, PICTURE, READING, request, slowHandler, upload } from "./support.ts";

const picture = await Deno.readFile(PICTURE);
const streamed = () => upload(picture, { headers: { Accept: "application/x-ndjson" } });

/** Waits until so many pictures are read or wait. */
async function holds(handler: PageHandler, count: number): Promise<void> {
  while (true) {
    const { queue: { running, waiting } } = await (await handler.handle(request("/api/health"))).json();
    if (Number(running) + waiting === count) return;
    await new Promise((resolve) => setTimeout(resolve, 1));
  }
}

Deno.test("pictures are read one at a time, in the order in which they came", async () => {
  const { handler, finishNext, most } = slowHandler();
  const answers = Array.from({ length: 4 }, () => handler.handle(upload(picture)));
  for (let i = 0; i < 4; i++) await finishNext();
  for (const answer of answers) assertEquals(await (await answer).json(), READING);
  assertEquals(most(), 1);
});

Deno.test("a full queue refuses with 503, and takes pictures again when there is room", async () => {
  const { handler, finishNext } = slowHandler({ queueLimit: 2 });
  const taken: Promise<Response>[] = [];
  for (let i = 0; i < 3; i++) {
    taken.push(handler.handle(upload(picture)));
    await holds(handler, i + 1);
  }
  const health = await (await handler.handle(request("/api/health"))).json();
  assertEquals(health.queue, { running: true, waiting: 2, limit: 2 });
  const refused = await handler.handle(upload(picture));
  assertEquals([refused.status, refused.headers.get("Retry-After")], [503, "2"]);
  await refused.body?.cancel();
  await finishNext();
  await taken[0];
  const late = handler.handle(upload(picture));
  for (let i = 0; i < 3; i++) await finishNext();
  for (const answer of [...taken.slice(1), late]) assertEquals((await answer).status, 200);
});

Deno.test("the page is told its place in the queue", async () => {
  const { handler, finishNext } = slowHandler();
  const first = await handler.handle(streamed());
  await holds(handler, 1);
  const second = await handler.handle(streamed());
  await holds(handler, 2);
  const third = await handler.handle(streamed());
  await holds(handler, 3);
  for (let i = 0; i < 3; i++) await finishNext();
  assertEquals((await eventsOf(first)).map(({ event }) => event), ["reading", "done"]);
  assertEquals((await eventsOf(second)).map(({ event, ahead }) => [event, ahead]), [["waiting", 1], ["reading", undefined], [
    "done",
    undefined,
  ]]);
  const events = await eventsOf(third);
  assertEquals(events.map(({ ahead }) => ahead), [2, 1, undefined, undefined]);
  const { milliseconds: _, ...done } = events.at(-1)!;
  assertEquals(done, { event: "done", reading: READING, picture: { type: "JPEG", width: 201, height: 133 } });
});

Deno.test("who goes away leaves the queue", async () => {
  const { handler, finishNext } = slowHandler();
  const first = handler.handle(upload(picture));
  await holds(handler, 1);
  const stop = new AbortController();
  const gone = handler.handle(upload(picture, { signal: stop.signal }));
  await holds(handler, 2);
  const third = handler.handle(upload(picture));
  await holds(handler, 3);
  stop.abort();
  assertEquals((await gone).status, 499);
  await finishNext();
  await finishNext();
  assertEquals([(await first).status, (await third).status], [200, 200]);
});

Deno.test("closing refuses what waits, and waits for what runs", async () => {
  const queue = new JobQueue({ limit: 4 });
  const { promise, resolve } = Promise.withResolvers<string>();
  const running = queue.add(() => promise);
  const refusal = assertRejects(() => queue.add(() => Promise.resolve("never")), HttpError, "closing");
  let closed = false;
  const closing = queue.close().then(() => closed = true);
  await refusal;
  assertEquals(closed, false);
  resolve("done");
  assertEquals(await running, "done");
  await closing;
  await assertRejects(() => queue.add(() => Promise.resolve("late")), HttpError, "closing");
});

Deno.test("a job that fails does not stop the next", async () => {
  const queue = new JobQueue({ limit: 4 });
  const failing = assertRejects(() => queue.add(() => Promise.reject(new Error("bad picture"))), Error, "bad picture");
  assertEquals(await queue.add(() => Promise.resolve(7)), 7);
  await failing;
});

Deno.test("a full queue refuses before it takes anything of a body, and uploads on their way have places", async () => {
  const { handler, finishNext } = slowHandler({ queueLimit: 1 });
  const arriving = Array.from({ length: 2 }, () => slowBody());
  const taken = arriving.map(({ body }) => handler.handle(request("/api/predict", { method: "POST", body })));
  const late = slowBody();
  for (const headers of [{}, { Accept: "application/x-ndjson" }] as Record<string, string>[]) {
    const refused = await handler.handle(request("/api/predict", { method: "POST", body: late.body, headers }));
    assertEquals([refused.status, refused.headers.get("Retry-After")], [503, "2"]);
    assertMatch((await refused.json()).error, /^The queue is full: 2 pictures/);
    assertEquals(late.asked(), 0);
  }
  for (const { send } of arriving) send();
  for (let i = 0; i < 2; i++) await finishNext();
  for (const answer of taken) assertEquals((await answer).status, 200);
  const { queue: { limit } } = await (await handler.handle(request("/api/health"))).json();
  assertEquals(limit, 1);
  const next = Array.from({ length: 2 }, () => handler.handle(upload(picture))); // every place is free again
  for (let i = 0; i < 2; i++) await finishNext();
  for (const answer of next) assertEquals((await answer).status, 200);
});

Deno.test("a bad upload gives its place back", async () => {
  const { handler, finishNext } = slowHandler({ queueLimit: 0 });
  for (let i = 0; i < 3; i++) assertEquals((await handler.handle(upload(new Uint8Array([1, 2, 3])))).status, 415);
  const good = handler.handle(upload(picture));
  await finishNext();
  assertEquals((await good).status, 200);
});

Deno.test("closing ends uploads on their way", async () => {
  const { handler } = slowHandler();
  const answer = handler.handle(request("/api/predict", { method: "POST", body: slowBody().body }));
  await handler.close();
  assertEquals((await answer).status, 503);
  assertMatch((await (await answer).json()).error, /The server is closing/);
});

/** A picture's bytes that come when they are sent. */
function slowBody() {
  const { promise, resolve } = Promise.withResolvers<void>();
  let asked = 0;
  const body = new ReadableStream<Uint8Array<ArrayBuffer>>({
    async pull(controller) {
      asked++;
      await promise;
      controller.enqueue(picture);
      controller.close();
    },
  }, { highWaterMark: 0 });
  return { body, send: resolve, asked: () => asked };
}
