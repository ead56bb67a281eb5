/** Features on the disk: what tells them apart, faults of the disk, and calls at the same time. */
import { assert, assertEquals, assertNotEquals, assertRejects, assertStringIncludes } from "@std/assert";
import { join } from "@std/path";
import sharp from "sharp";
import { requestGpu } from "../../../kernels/gpu.ts";
import { FeatureStore } from "../../../pipeline/encode.ts";
import { MaspError } from "../../../pipeline/errors.ts";
import { loadQwen2Vl } from "../../../pipeline/load.ts";
import { DEMO_MODEL, demoExamples, modelTest, temporaryFolder } from "./support.ts";

modelTest("features: calls at the same time give the same features, each picture encoded once", async (model) => {
  const images = (await demoExamples(4)).map(({ image }) => image);
  await using store = new FeatureStore(model, { gpuBytes: 1 });
  const held = model.gpu.counters.bytes;
  const [one, two, three] = await Promise.all([
    store.getAll(images),
    store.getAll([...images].reverse()),
    store.getAll(images.slice(1, 3)),
  ]);
  assertEquals(store.counters, { encoded: 4, fromDisk: 0, fromGpu: 6 });
  assertEquals([two.toReversed(), three], [one, one.slice(1, 3)]);
  assert(one.every(({ tensor }) => tensor.storage.buffer), "features of a call that overlaps were given back");
  assert(model.gpu.counters.bytes > held);
  const failing = store.getAll(["none.png"]);
  const good = store.getAll(images);
  await assertRejects(() => failing, MaspError, 'Cannot read picture "none.png"');
  assertEquals(await good, one);
});

modelTest("features: a folder that cannot be written to is told once; the features are there", async (model) => {
  using dir = temporaryFolder();
  await Deno.writeTextFile(dir.file("file"), "no folder");
  const images = (await demoExamples(3)).map(({ image }) => image);
  const warnings: string[] = [];
  const cacheDir = join(dir.file("file"), "features");
  const store = new FeatureStore(model, { cacheDir, onWarning: (text) => warnings.push(text) });
  for (const image of images) assert((await store.get(image)).tensor.storage.buffer);
  const { message } = await assertRejects(() => store.flush(), MaspError);
  await store.get(images[0]);
  await store[Symbol.asyncDispose](); // is no second error
  assertEquals(warnings.length, 1);
  for (const text of [message, warnings[0]]) {
    for (const part of [`Cannot write the feature cache "${cacheDir}": `, "--feature-cache"]) assertStringIncludes(text, part);
  }
  assertStringIncludes(warnings[0], "goes on without it");
});

modelTest("features: an error of the run is not hidden by one of the disk", async (model) => {
  using dir = temporaryFolder();
  await Deno.writeTextFile(dir.file("file"), "no folder");
  const [{ image }] = await demoExamples(1);
  const run = async () => {
    await using store = new FeatureStore(model, { cacheDir: join(dir.file("file"), "features") });
    await store.get(image);
    throw new MaspError("the run's own error");
  };
  assertEquals((await assertRejects(run, MaspError)).message, "the run's own error");
});

modelTest("features: a picture that is too narrow is named with its size, small or large enough for a worker", async (model) => {
  using dir = temporaryFolder();
  await using store = new FeatureStore(model);
  for (const [width, height] of [[2000, 2], [300_000, 4]]) {
    const path = dir.file(`${width}.png`);
    await sharp({ create: { width, height, channels: 3, background: "#808080" } }).png().toFile(path);
    await assertRejects(() => store.get(path), MaspError, `Picture "${path}" of ${width}×${height} pixels is too narrow`);
  }
});

modelTest("features: a damaged file is encoded again", async (model) => {
  using dir = temporaryFolder();
  const [{ image }] = await demoExamples(1);
  const read = async () => {
    await using store = new FeatureStore(model, { cacheDir: dir.path });
    await store.get(image);
    await store.flush();
    return store.counters;
  };
  assertEquals((await read()).encoded, 1);
  const folders = [dir.path];
  while (true) {
    const [entry] = [...Deno.readDirSync(folders.at(-1)!)];
    folders.push(join(folders.at(-1)!, entry.name));
    if (entry.isFile) break;
  }
  await Deno.truncate(folders.at(-1)!, 100);
  assertEquals((await read()).encoded, 1);
  assertEquals((await read()).fromDisk, 1);
});

Deno.test("features: other number types and precisions have files of their own", async () => {
  const ids = new Map<string, string>();
  for (const precision of ["f32", "f16"] as const) {
    await using gpu = await requestGpu({ precision });
    for (const weights of ["f32", "bf16", "int8"] as const) {
      using model = await loadQwen2Vl(gpu, DEMO_MODEL, { weights });
      ids.set(`${precision} ${weights}`, model.visionId);
    }
    using again = await loadQwen2Vl(gpu, DEMO_MODEL, { weights: "bf16" });
    assertEquals(again.visionId, ids.get(`${precision} bf16`));
  }
  assertEquals(new Set([...ids].filter(([name]) => name.startsWith("f32")).map(([, id]) => id)).size, 3);
  assertEquals(ids.get("f16 f32"), ids.get("f32 f32"), "products with f32 weights are f32 always");
  for (const weights of ["bf16", "int8"]) assertNotEquals(ids.get(`f16 ${weights}`), ids.get(`f32 ${weights}`), weights);
});
