/** Errors of the GPU while pictures are read: told to the picture that had them, and to no other. */
import { assert, assertEquals, assertMatch, assertNotEquals, assertRejects } from "@std/assert";
import { join } from "@std/path";
import sharp from "sharp";
import { type Gpu, GpuError, requestGpu, type RequestGpuOptions } from "../../kernels/gpu.ts";
import { loadAspects } from "../../pipeline/aspect_attend.ts";
import { loadPrompts } from "../../pipeline/data/prompts.ts";
import { loadQwen2Vl } from "../../pipeline/load.ts";
import { loadSoftPrompt } from "../../pipeline/prompt_tune.ts";
import { PictureReader } from "../../pipeline/serve/picture_reader.ts";
import { GOLDEN, PICTURE, quickHandler, request, upload } from "./support.ts";

/** The golden model, and what reads pictures with it. */
async function goldenReader(options: RequestGpuOptions = {}) {
  const stack = new AsyncDisposableStack();
  const gpu = stack.use(await requestGpu(options));
  const model = stack.use(await loadQwen2Vl(gpu, join(GOLDEN, "model")));
  const aspects = stack.use(await loadAspects(model, join(GOLDEN, "aspect.pth")));
  const prompt = stack.use(await loadSoftPrompt(model, join(GOLDEN, "soft_prompt.pt"), { layout: "code" }));
  const prompts = await loadPrompts(join(GOLDEN, "prompts.json"));
  const reader = stack.use(new PictureReader(model, { aspects, prompt, prompts, categories: ["amusement", "anger", "awe", "fear"] }));
  return { gpu, reader, [Symbol.asyncDispose]: () => stack.disposeAsync() };
}

const picture = await Deno.readFile(PICTURE);
const second = await Deno.readFile(join(GOLDEN, "images", "chelsea_98x70.png"));

/** Makes one call of a method of the device invalid, the `nth` from now on. */
function breakOnce<K extends "createBindGroup" | "createComputePipeline">(gpu: Gpu, method: K, nth: number): void {
  const { device } = gpu;
  const whole = device[method].bind(device) as (descriptor: unknown) => unknown;
  let calls = 0;
  Object.assign(device, {
    [method]: (descriptor: { entries?: unknown[]; compute?: { entryPoint?: string } }) => {
      if (++calls !== nth) return whole(descriptor);
      Reflect.deleteProperty(device, method);
      return whole(
        method === "createBindGroup"
          ? { ...descriptor, entries: descriptor.entries!.slice(1) }
          : { ...descriptor, compute: { ...descriptor.compute, entryPoint: "missing" } },
      );
    },
  });
}

Deno.test("a fault of the GPU is told to the picture that had it; the next one, and the same again, are read as ever", async () => {
  await using golden = await goldenReader();
  const { gpu, reader } = golden;
  const expected = await reader.read(picture, { maps: true });
  const others = await reader.read(second, { maps: true });
  assertNotEquals(expected, others);
  const large = new Uint8Array(await sharp({ create: { width: 420, height: 300, channels: 3, background: "teal" } }).png().toBuffer());
  for (const nth of [1, 20, 60]) {
    breakOnce(gpu, "createBindGroup", nth);
    const { message } = await assertRejects(() => reader.read(large, { maps: true }), GpuError);
    assertMatch(message, /^GPU error: /);
    assertEquals(await reader.read(picture, { maps: true }), expected);
    assertEquals(await reader.read(second, { maps: true }), others);
  }
  assert((await reader.read(large)).emotion);
});

Deno.test("a kernel that was not compiled is compiled again for the next picture", async () => {
  await using whole = await goldenReader();
  const expected = await whole.reader.read(picture);
  await using golden = await goldenReader();
  breakOnce(golden.gpu, "createComputePipeline", 3);
  await assertRejects(() => golden.reader.read(picture), GpuError);
  assertEquals(await golden.reader.read(picture), expected);
});

Deno.test("pictures that need more memory than there is leave none of it behind", async () => {
  let bytes = 0;
  const large = new Uint8Array(await sharp({ create: { width: 1400, height: 1000, channels: 3, background: "teal" } }).png().toBuffer());
  {
    await using golden = await goldenReader();
    await golden.reader.read(picture);
    bytes = golden.gpu.counters.peakBytes;
  }
  await using golden = await goldenReader({ memoryLimit: bytes + 2 ** 20 });
  const { gpu, reader } = golden;
  const expected = await reader.read(picture);
  const held: number[] = [];
  for (let i = 0; i < 4; i++) {
    const { message } = await assertRejects(() => reader.read(large), GpuError);
    assertMatch(message, /^Out of GPU memory/);
    held.push(gpu.counters.bytes);
    assertEquals(await reader.read(picture), expected);
  }
  assertEquals(new Set(held).size, 1, held.join(", "));
});

Deno.test("a lost GPU: whoever waits is told so with 503, and so is everyone after", async () => {
  await using golden = await goldenReader();
  const { gpu, reader } = golden;
  const handler = quickHandler({ reader, unavailable: () => gpu.lost });
  assertEquals((await handler.handle(upload(picture))).status, 200);
  const stopped = handler.handle(upload(second));
  gpu.device.destroy();
  assertMatch(await gpu.whenLost, /^The GPU was lost/);
  for (const asked of [stopped, handler.handle(upload(picture)), handler.handle(request("/api/health"))]) {
    const response = await asked;
    assertEquals(response.status, 503);
    assertMatch((await response.json()).error, /The GPU was lost.*start deno task serve again/s);
  }
  assertEquals((await handler.handle(request("/"))).status, 200);
});
