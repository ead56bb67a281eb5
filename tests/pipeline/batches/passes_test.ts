/** Prompts cut into passes by what a binding may hold. */
import { assert, assertEquals, assertLess } from "@std/assert";
import type { Gpu } from "../../../kernels/gpu.ts";
import { AspectAnswerer } from "../../../pipeline/aspects/aspect_answerer.ts";
import { createAspects } from "../../../pipeline/aspect_attend.ts";
import { categoriesOf } from "../../../pipeline/data/categories.ts";
import { questionsOf } from "../../../pipeline/data/prompts.ts";
import { FeatureStore } from "../../../pipeline/encode.ts";
import { evaluate } from "../../../pipeline/evaluate.ts";
import { promptPasses } from "../../../pipeline/qwen2_vl/generation_passes.ts";
import { NO_ROW } from "../../../pipeline/qwen2_vl/language_model.ts";
import { demoExamples, demoPrompts, modelTest } from "../stages/support.ts";

/** A GPU that lets bindings be so large, until it is disposed of; and the largest scratch tensor that plans asked for meanwhile. */
function smallBindings(gpu: Gpu, bytes: number): { largest(): number } & Disposable {
  const place = gpu.scratch.place.bind(gpu.scratch);
  let largest = 0;
  gpu.scratch.place = (lifetimes) => {
    largest = Math.max(largest, ...lifetimes.map(({ storage }) => storage.bytes));
    place(lifetimes);
  };
  Object.defineProperty(gpu, "maxBindingBytes", { value: bytes, configurable: true });
  return {
    largest: () => largest,
    [Symbol.dispose]() {
      Reflect.deleteProperty(gpu, "maxBindingBytes");
      gpu.scratch.place = place;
    },
  };
}

modelTest("passes: as many prompts as the bindings of an adapter hold, and a prompt that is too large alone", (model) => {
  const { network } = model;
  const { text } = network.config;
  const prompt = (length: number) => ({ ids: Uint32Array.from({ length }, (_, i) => i < 8 ? i : i === 8 ? NO_ROW : 9) });
  const whole = (length: number) => ({ ids: new Uint32Array(length), positions: new Uint32Array(3 * length) });
  const lengths = (of: readonly { ids: ArrayLike<number> }[], reserve = 4) =>
    promptPasses(network, of, { reserve, vocabulary: 1 }).map((pass) => pass.map(({ ids }) => ids.length));
  assertEquals(lengths([prompt(40), prompt(20), prompt(1000)]), [[40, 20, 1000]]);
  assertEquals(lengths([]), []);
  using _small = smallBindings(model.gpu, 4 * 2 * text.intermediate * 256);
  assertEquals(lengths([whole(100), whole(100), whole(48)]), [[100, 100], [48]], "tokens to come need rows, too");
  assertEquals(lengths([whole(100), whole(100), whole(44)]), [[100, 100, 44]]);
  assertEquals(lengths([whole(300), whole(300), whole(100)]), [[300], [300], [100]]);
  assertEquals(lengths([prompt(50), prompt(50), prompt(150), prompt(20)]), [[50, 50], [150], [20]], "short ones wait beside no long one");
  const logits = promptPasses(network, [whole(9), whole(9), whole(9)], { reserve: 4, vocabulary: 2 * text.intermediate * 24 });
  assertEquals(logits.map((pass) => pass.length), [2, 1]);
  return Promise.resolve();
});

modelTest("passes: on an adapter with small bindings, evaluation and aspects in words give the same answers", async (model) => {
  using aspects = createAspects(model, { seed: 1 });
  await using store = new FeatureStore(model);
  const prompts = await demoPrompts();
  const examples = await demoExamples(4, "test");
  const shared = { prompts, examples, categories: categoriesOf("EmoSet"), store, scores: true, batch: 4 };
  const questions = Object.fromEntries(aspects.views.map((view) => [view, questionsOf(prompts, view)[0]]));
  const images = examples.map(({ image }) => image);
  const all = async () => {
    using reader = new AspectAnswerer(model, { aspects, store, batch: 4 });
    const texts = (baseline: boolean) => evaluate(model, { ...shared, ...(baseline ? { baseline } : { aspects }) });
    const [plain, tuned] = [await texts(true), await texts(false)];
    return {
      answers: [plain, tuned].map(({ predictions }) => predictions.map(({ text }) => text)),
      words: await reader.answer(images, questions),
    };
  };
  const expected = await all();
  await store.getAll(images); // the vision tower is not what is tried here
  const limit = 4 * 2 * model.network.config.text.intermediate * 320;
  using small = smallBindings(model.gpu, limit);
  assertEquals(await all(), expected);
  assert(small.largest() > limit / 4, "nothing came near the limit");
  assertLess(small.largest(), limit + 1);
});
