/** Answers that are guessed: the same as token by token, in fewer passes where the guess is right. */
import { assert, assertEquals, assertLess } from "@std/assert";
import { Answerer } from "../../../pipeline/answerer.ts";
import { categoriesOf } from "../../../pipeline/data/categories.ts";
import { questionsOf } from "../../../pipeline/data/prompts.ts";
import { FeatureStore } from "../../../pipeline/encode.ts";
import { evaluate } from "../../../pipeline/evaluate.ts";
import { PictureInputs } from "../../../pipeline/picture_inputs.ts";
import { guessedAnswer } from "../../../pipeline/qwen2_vl/guessed_answer.ts";
import { demoExamples, demoPrompts, modelTest } from "../stages/support.ts";

Deno.test("guesses: an answer is known as far as it went on as guessed", () => {
  const shared = { guesses: [[5, 6], [5, 7, 8], [9], [3, 4, 4, 4]], maxNewTokens: 4, eosIds: [1, 2] };
  const answer = (first: number, ...choices: number[]) => guessedAnswer({ ...shared, first, choices });
  assertEquals(answer(5, 6, 1, 0), [5, 6, 1], "as guessed, to the end");
  assertEquals(answer(5, 6, 0, 1), undefined, "goes on behind the guess");
  assertEquals(answer(5, 7, 1, 1), undefined, "the first guess that begins so was tried");
  assertEquals(answer(5, 2, 9, 9), [5, 2], "an end that was not guessed is known as well");
  assertEquals(answer(9, 1, 0, 0), [9, 1]);
  assertEquals(answer(9, 9, 1, 0), [9, 9, 1], "behind a guess the first token stands again");
  assertEquals(answer(1, 7, 7, 7), [1], "an empty answer");
  assertEquals(answer(3, 4, 4, 4), [3, 4, 4, 4], "as many tokens as may be");
  assertEquals(answer(3, 4, 4), undefined, "not so many rows");
  assertEquals(answer(8, 1, 0, 0), [8, 1], "no guess, but the end");
  assertEquals(answer(8, 7, 0, 0), undefined);
});

modelTest("guesses: right, wrong or none, the answers are those of one token at a time", async (model) => {
  const [question] = questionsOf(await demoPrompts(), "object"); // whose answers have one to five tokens
  const asked = (await demoExamples(6, "test")).map(({ image }) => ({ image, question }));
  await using store = new FeatureStore(model);
  using inputs = new PictureInputs(model, { store, batch: asked.length });
  for (const maxNewTokens of [1, 2, 4, 11]) {
    using answerer = new Answerer(model, { inputs, maxNewTokens, mode: "qwen2-vl" });
    const answers = async (guesses?: string[], some = asked) => await (await answerer.begin(some, { guesses })).answers;
    const expected = await answers();
    const texts = [...new Set(expected.map(({ text }) => text))];
    assert(texts.length > 2, "the answers are nearly all the same: the test would see little");
    for (const guesses of [texts, texts.slice(1), ["no such answer"], [texts[0], `${texts[0]} and more`, texts[1]]]) {
      assertEquals(await answers(guesses), expected);
      assertEquals(await answers(guesses, asked.slice(2, 3)), expected.slice(2, 3), "alone");
    }
  }
});

modelTest("guesses: pictures that were guessed wrong are asked about again while others are in their place", async (model) => {
  const [question] = questionsOf(await demoPrompts(), "object"); // whose answers have one to five tokens
  const asked = (await demoExamples(12, "test")).map(({ image }) => ({ image, question }));
  await using store = new FeatureStore(model);
  using inputs = new PictureInputs(model, { store, batch: 3 });
  using answerer = new Answerer(model, { inputs, mode: "qwen2-vl", maxNewTokens: 8 });
  const groups = [0, 3, 6, 9].map((i) => asked.slice(i, i + 3));
  const expected = [];
  for (const group of groups) expected.push(await (await answerer.begin(group)).answers);
  assert(new Set(expected.flat().map(({ text }) => text)).size > 2, "the answers are nearly all the same: the test would see little");
  for (const guesses of [["no such answer"], [expected[0][0].text]]) {
    const begun = await Promise.all(groups.map((group) => answerer.begin(group, { guesses })));
    assertEquals(await Promise.all(begun.map(({ answers }) => answers)), expected);
  }
});

modelTest("guesses: an evaluation guesses categories when the answers before were some, and needs fewer passes", async (model) => {
  await using store = new FeatureStore(model);
  const categories = categoriesOf("EmoSet");
  const examples = await demoExamples(16, "test");
  await store.getAll(examples.map(({ image }) => image));
  const run = async (count: number, batch: number, guess?: boolean) => {
    const before = model.gpu.counters.dispatches;
    const options = { prompts: await demoPrompts(), examples: examples.slice(0, count), categories, store, baseline: true, batch, guess };
    const { predictions } = await evaluate(model, options);
    return { answers: predictions.map(({ text }) => text), dispatches: model.gpu.counters.dispatches - before };
  };
  const [whole, half, guessed, plain] = [await run(16, 16), await run(8, 4), await run(16, 4), await run(16, 4, false)];
  assert(whole.answers.every((text) => categories.includes(text)), whole.answers.join());
  assertEquals(guessed.answers, whole.answers); // of one pass, before which nothing came
  assertEquals(plain.answers, whole.answers);
  assertLess(1.9 * half.dispatches, plain.dispatches);
  assertLess(guessed.dispatches, 1.8 * half.dispatches); // of two passes, before the first of which nothing was known when they began
});
