/** Several pictures of different sizes in one pass: what each gives alone. */
import { assert, assertEquals, assertLess } from "@std/assert";
import { createAspects } from "../../../pipeline/aspect_attend.ts";
import { categoriesOf } from "../../../pipeline/data/categories.ts";
import { FeatureStore } from "../../../pipeline/encode.ts";
import { evaluate, type EvaluateOptions } from "../../../pipeline/evaluate.ts";
import { PictureInputs } from "../../../pipeline/picture_inputs.ts";
import { createSoftPrompt } from "../../../pipeline/prompt_tune.ts";
import { inRuns } from "../../../pipeline/qwen2_vl/in_runs.ts";
import { relativeError } from "../../kernels/support.ts";
import { demoExamples, demoPrompts, modelTest, temporaryFolder } from "../stages/support.ts";
import { resizedPicture } from "../train/resized_picture.ts";

/** Seven pictures of five sizes. */
async function pictures(dir: string) {
  const sizes = [[140, 140], [84, 112], [252, 140], [112, 84], [280, 308]] as const;
  const examples = await demoExamples(7, "test");
  return await Promise.all(
    examples.map(async (example, i) => ({ ...example, image: await resizedPicture(example.image, { dir, size: sizes[i % 5] }) })),
  );
}

modelTest("batches: an evaluation of several pictures a pass gives the answers and scores of one by one", async (model) => {
  using dir = temporaryFolder();
  using aspects = createAspects(model, { seed: 1 });
  using prompt = createSoftPrompt(model);
  await using store = new FeatureStore(model);
  const shared = { examples: await pictures(dir.path), prompts: await demoPrompts(), categories: categoriesOf("EmoSet"), store };
  const examples = shared.examples.slice(0, 5);
  const forms: [Partial<EvaluateOptions>, batch: number][] = [[{ aspects, prompt, scores: true }, 3], [{ aspects, prompt }, 8], [{
    baseline: true,
    scores: true,
  }, 4]];
  for (const [form, batch] of forms) {
    const alone = await evaluate(model, { ...shared, ...form, examples, batch: 1 });
    assert(new Set(alone.predictions.map(({ text }) => text)).size > 1, "all answers are the same: the test would see little");
    const told: number[] = [];
    const together = await evaluate(model, { ...shared, ...form, examples, batch, onPrediction: (_, { done }) => told.push(done) });
    assertEquals(told, [1, 2, 3, 4, 5]);
    assertEquals(together.metrics, alone.metrics);
    const bare = (evaluation: typeof alone) => evaluation.predictions.map(({ scores: _, ...rest }) => rest);
    assertEquals(bare(together), bare(alone));
    for (const [i, { scores }] of together.predictions.entries()) {
      for (const name in scores ?? {}) assertLess(Math.abs(scores![name] - alone.predictions[i].scores![name]), 1e-5);
    }
  }
});

modelTest("batches: features and aspect tokens of several pictures are those of one by one", async (model) => {
  using dir = temporaryFolder();
  const images = (await pictures(dir.path)).map(({ image }) => image);
  using aspects = createAspects(model, { seed: 1 });
  await using alone = new FeatureStore(model);
  await using together = new FeatureStore(model, { cacheDir: dir.file("features") });
  using inputs = new PictureInputs(model, { store: alone, aspects });
  using batch = new PictureInputs(model, { store: together, aspects, batch: images.length + 1 });
  const loaded = await batch.loadAll([...images, images[2]]);
  assertEquals(together.counters, { encoded: 7, fromDisk: 0, fromGpu: 0 });
  const { gpu, network: { config: { text: { hidden } } } } = model;
  const rowsOf = async (at: PictureInputs, place: typeof loaded[number]) => {
    const [features, tokens] = await Promise.all([gpu.readFloats(at.sources.features), gpu.readFloats(at.sources.aspects)]);
    return [
      ...features.subarray(place.firstFeature * hidden, (place.firstFeature + place.tokens) * hidden),
      ...place.aspectRows.flatMap((row) => [...tokens.subarray(row * hidden, (row + 1) * hidden)]),
    ];
  };
  for (const [i, place] of loaded.entries()) {
    const own = await inputs.load([...images, images[2]][i]);
    assertEquals([place.tokens, place.grid], [own.tokens, own.grid]);
    const expected = await rowsOf(inputs, own);
    assert(expected.some((value) => value !== 0));
    assertLess(relativeError(await rowsOf(batch, place), expected), 1e-5, `picture ${i}`);
  }
  await together.flush();
  await using again = new FeatureStore(model, { cacheDir: dir.file("features") });
  const features = await again.getAll(images);
  assertEquals(again.counters, { encoded: 0, fromDisk: 7, fromGpu: 0 });
  for (const [i, { tensor }] of features.entries()) {
    assertEquals(await gpu.readFloats(tensor), await gpu.readFloats((await together.get(images[i])).tensor));
  }
});

modelTest("batches: a store that keeps few features keeps those of the batch", async (model) => {
  using dir = temporaryFolder();
  const images = (await pictures(dir.path)).map(({ image }) => image);
  await using store = new FeatureStore(model, { gpuBytes: 1 });
  const first = await store.getAll(images.slice(0, 4));
  assert(first.every(({ tensor }) => tensor.storage.buffer), "features of the batch were given back");
  const second = await store.getAll(images.slice(3, 6));
  assert(second[0] === first[3] && first.slice(0, 3).every(({ tensor }) => !tensor.storage.buffer));
  assertEquals(store.counters, { encoded: 6, fromDisk: 0, fromGpu: 1 });
});

Deno.test("batches: items in runs of at most a size", () => {
  const runs = (items: number[], most: number) => inRuns(items, { most, size: (item) => item });
  assertEquals(runs([3, 4, 9, 1, 2], 8), [[3, 4], [9], [1, 2]]);
  assertEquals(runs([9, 9], 8), [[9], [9]]);
  assertEquals(runs([4, 4, 1], 8), [[4, 4], [1]]);
  assertEquals(runs([], 8), []);
});
