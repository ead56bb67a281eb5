/** One model in several forms of files: the same features and answers. */
import { assertEquals, assertLess, assertNotEquals } from "@std/assert";
import type { Gpu } from "../../../kernels/gpu.ts";
import { categoriesOf } from "../../../pipeline/data/categories.ts";
import { FeatureStore } from "../../../pipeline/encode.ts";
import { predict } from "../../../pipeline/evaluate.ts";
import { loadQwen2Vl, type LoadQwen2VlOptions } from "../../../pipeline/load.ts";
import { relativeError } from "../../kernels/support.ts";
import { DEMO_MODEL, demoExamples, demoPrompts, deviceTest, temporaryFolder } from "../stages/support.ts";
import { newerNames, type VariantOptions, withType, writeVariant } from "./checkpoint_variants.ts";

/** Visual features of a picture and the probabilities of its categories. */
async function resultsOf(gpu: Gpu, dir: string, options: LoadQwen2VlOptions = { weights: "f32" }) {
  const [{ image }] = await demoExamples(1);
  using model = await loadQwen2Vl(gpu, dir, options);
  assertEquals(model.unusedTensors, []);
  await using store = new FeatureStore(model);
  const features = await gpu.readFloats((await store.get(image)).tensor);
  const asked = { prompts: await demoPrompts(), categories: categoriesOf("EmoSet"), seed: 1, store };
  const { text, scores } = await predict(model, image, asked);
  return { features, text, scores, visionId: model.visionId };
}

async function resultsOfVariant(gpu: Gpu, variant: VariantOptions, options?: LoadQwen2VlOptions) {
  using dir = temporaryFolder();
  await writeVariant(DEMO_MODEL, dir.path, variant);
  return await resultsOf(gpu, dir.path, options);
}

deviceTest("load: bf16, f32, shards and the newer names give the same features and answers", async (gpu) => {
  const expected = await resultsOf(gpu, DEMO_MODEL);
  assertEquals(await resultsOfVariant(gpu, { shards: 3, tensors: newerNames }), expected);
  const f32 = await resultsOfVariant(gpu, { tensors: (tensors) => newerNames(withType("F32")(tensors)) });
  assertEquals({ ...f32, visionId: "" }, { ...expected, visionId: "" });
  const f16 = await resultsOfVariant(gpu, { tensors: withType("F16"), shards: 2 });
  assertLess(relativeError(f16.features, expected.features), 2e-3);
  assertLess(relativeError(Object.values(f16.scores), Object.keys(f16.scores).map((name) => expected.scores[name])), 2e-2);
});

deviceTest("load: weights kept in 16 bits on the GPU", async (gpu) => {
  const expected = await resultsOf(gpu, DEMO_MODEL, { weights: "f32" });
  const held = () => gpu.counters.bytes - gpu.scratch.bytes;
  const before = held();
  const bf16 = await resultsOf(gpu, DEMO_MODEL, { weights: "bf16" });
  assertLess(relativeError(bf16.features, expected.features), 1e-5); // the file's own numbers: nothing is rounded
  assertEquals(bf16.text, expected.text);
  const f16 = await resultsOf(gpu, DEMO_MODEL, { weights: "f16" });
  assertLess(relativeError(f16.features, expected.features), 2e-3);
  assertEquals(held(), before, "GPU memory of a disposed model is still held");
});

deviceTest("load: a tied head is the embedding", async (gpu) => {
  const untied: VariantOptions = {
    tensors: (tensors) => ({ ...tensors, "lm_head.weight": tensors["model.embed_tokens.weight"] }),
  };
  const tied: VariantOptions = {
    tensors: ({ "lm_head.weight": _, ...tensors }) => tensors,
    config: (config) => ({ ...config, tie_word_embeddings: true }),
  };
  const expected = await resultsOfVariant(gpu, untied);
  assertEquals(await resultsOfVariant(gpu, tied), expected);
  assertNotEquals((await resultsOf(gpu, DEMO_MODEL)).scores, expected.scores);
});

deviceTest("load: another language model is another model, with the same visual features", async (gpu) => {
  using dir = temporaryFolder();
  await writeVariant(DEMO_MODEL, dir.path, {
    tensors: (tensors) => {
      const [one, other] = [0, 1].map((layer) => `model.layers.${layer}.mlp.down_proj.weight`);
      return { ...tensors, [one]: tensors[other], [other]: tensors[one] };
    },
  });
  using model = await loadQwen2Vl(gpu, DEMO_MODEL);
  using changed = await loadQwen2Vl(gpu, dir.path);
  assertEquals(changed.visionId, model.visionId);
  assertNotEquals(changed.modelId, model.modelId);
});
