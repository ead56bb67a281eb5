import { assert, assertEquals, assertNotEquals, assertRejects, assertThrows } from "@std/assert";
import { join, relative } from "@std/path";
import { loadAspectSamples } from "../../../pipeline/data/aspect_samples.ts";
import { categoriesOf } from "../../../pipeline/data/categories.ts";
import { emotionQuestions, emotionSamples } from "../../../pipeline/data/emotion_samples.ts";
import { type Example, loadExamples } from "../../../pipeline/data/examples.ts";
import { mapParallel } from "../../../pipeline/data/map_parallel.ts";
import { loadPrompts } from "../../../pipeline/data/prompts.ts";
import { MaspError } from "../../../pipeline/errors.ts";
import { goldenSamples, projectPath, withFolder } from "./support.ts";

const VIEWS = ["facial_expression", "object", "scene", "human_action", "brightness", "colorfulness"];
const golden = {
  examples: () => loadExamples(projectPath("tests/golden/emoset"), { split: "train" }),
  prompts: () => loadPrompts(projectPath("tests/golden/prompts.json")),
};

Deno.test("loadAspectSamples: the golden samples, in order", async () => {
  const { stage1 } = await goldenSamples();
  const prompts = await golden.prompts();
  const samples = await loadAspectSamples(await golden.examples(), { views: stage1.views, prompts, seed: 1 });
  const found = samples.map(({ image, view, label }) => ({ image: relative(projectPath("tests/golden"), image), task: view, label }));
  assertEquals(found, stage1.samples.map(({ image, task, label }) => ({ image, task, label })));
  for (const { view, question } of samples) assert(prompts[view].includes(question), question);
});

Deno.test("loadAspectSamples: questions vary, and only with the seed", async () => {
  const [examples, prompts] = [await golden.examples(), await golden.prompts()];
  const questions = async (seed: number) =>
    (await loadAspectSamples(examples, { views: ["brightness"], prompts, seed })).map(({ question }) => question);
  assertEquals(await questions(1), await questions(1));
  assertNotEquals(await questions(1), await questions(2));
  assertEquals(new Set(await questions(1)), new Set(prompts.brightness));
});

Deno.test("loadAspectSamples: own views; a value of 0 counts; what is missing is said", async () => {
  const files = { "a.json": '{"brightness": 0, "style": "Oil_paint"}', "bad.json": "{" };
  await withFolder(files, async (root) => {
    const example: Example = { image: "a.png", id: "a", label: "awe", annotation: join(root, "a.json") };
    const prompts = { brightness: ["How bright?"], style: ["Which style?"] };
    assertEquals(
      await loadAspectSamples([{ ...example, annotation: undefined }, example], { views: ["style", "brightness"], prompts, seed: 1 }),
      [
        { image: "a.png", view: "style", question: "Which style?", label: "oil paint" },
        { image: "a.png", view: "brightness", question: "How bright?", label: "very low" },
      ],
    );
    const load = (views: string[], example: Example) => () => loadAspectSamples([example], { views, prompts, seed: 1 });
    await assertRejects(load(["scene"], example), MaspError, 'no questions for "scene", only for brightness, style');
    await assertRejects(load(["style"], { ...example, annotation: undefined }), MaspError, "1 pictures, 0 of them with an annotation");
    await assertRejects(load(["style"], { ...example, annotation: join(root, "bad.json") }), MaspError, "bad.json");
  });
});

const listOf = (question: string) => [...question.matchAll(/'([^']*)'/g)].map((match) => match[1]);

Deno.test("emotionSamples: training draws templates, each with one order of all categories", async () => {
  const prompts = await loadPrompts(projectPath("config/prompts.json"));
  const categories = categoriesOf("EmoSet");
  const examples = Array.from({ length: 60 }, (_, i): Example => ({ image: `${i}.png`, id: `${i}`, label: "awe" }));
  const train = emotionSamples(examples, { prompts, categories, seed: 1, mode: "train" });
  assertEquals(train.map(({ image }) => image), examples.map(({ image }) => image));
  assertEquals(new Set(train.map(({ question }) => question)).size, prompts.emotion.length);
  for (const { question, label } of train) {
    assertEquals(listOf(question).toSorted(), [...categories].toSorted());
    assertEquals(label, "awe");
  }
  const orders = new Set(emotionQuestions({ prompts, categories, seed: 1 }).map((question) => listOf(question).join()));
  assert(orders.size > 1, "every template has an order of its own");
  assertEquals(train, emotionSamples(examples, { prompts, categories, seed: 1, mode: "train" }));
  assertNotEquals(train, emotionSamples(examples, { prompts, categories, seed: 2, mode: "train" }));
});

Deno.test("emotionSamples: a test asks the first template always, in Python's list form", () => {
  const examples: Example[] = [{ image: "a", id: "a", label: "x" }, { image: "b", id: "b", label: "y" }];
  const options = { prompts: { emotion: ["One of {}?", "Or {}?"] }, categories: ["only"], seed: 1 };
  assertEquals(emotionSamples(examples, { ...options, mode: "test" }), [
    { image: "a", question: "One of ['only']?", label: "x" },
    { image: "b", question: "One of ['only']?", label: "y" },
  ]);
  assertEquals(emotionQuestions({ ...options, categories: ["it's"] })[0], `One of ["it's"]?`);
  assertEquals(emotionQuestions({ ...options, categories: ["$&"] })[0], "One of ['$&']?");
  assert(/^One of \['[xy]', '[xy]'\]\?$/.test(emotionQuestions({ ...options, categories: ["x", "y"] })[0]));
  assertThrows(() => emotionSamples(examples, { ...options, prompts: { scene: ["Where?"] }, mode: "test" }), MaspError, '"emotion"');
});

Deno.test("emotionSamples: the test question of golden data differs only in the order of categories", async () => {
  const { stage2 } = await goldenSamples();
  const options = { prompts: await golden.prompts(), categories: categoriesOf("EmoSet"), seed: 3407, mode: "test" as const };
  const [sample] = emotionSamples([{ image: "a", id: "a", label: "awe" }], options);
  const normal = (question: string) => question.replace(/\[.*\]/, () => `[${listOf(question).toSorted().join()}]`);
  assertEquals(normal(sample.question), normal(stage2.test[0].text));
});

Deno.test("loadPrompts: the project's own file has questions for every view and the emotion", async () => {
  const prompts = await loadPrompts(projectPath("config/prompts.json"));
  assertEquals(Object.keys(prompts).toSorted(), [...VIEWS, "emotion"].toSorted());
  for (const questions of Object.values(prompts)) assertEquals(new Set(questions).size, 5);
});

Deno.test("loadPrompts: bad files", async () => {
  const bad: [string, string][] = [
    ["{", "no JSON"],
    ["[]", "a list"],
    ["{}", "is empty"],
    ['{"scene": []}', "scene is [], expected at least one question"],
    ['{"scene": "Where?"}', 'scene is "Where?", expected a list of questions'],
    ['{"scene": [3]}', "scene.0 is 3, expected a question"],
    ['{"scene": [" "]}', 'scene.0 is " ", expected a question that is not empty'],
    ['{"emotion": ["Which of {}?", "Which?"]}', 'emotion.1 is "Which?", expected a text with {}'],
  ];
  for (const [text, message] of bad) {
    await withFolder({ "prompts.json": text }, async (root) => {
      const error = await assertRejects(() => loadPrompts(join(root, "prompts.json")), MaspError, message);
      assert(error.message.includes(join(root, "prompts.json")), error.message);
    });
  }
  await withFolder({}, async (root) => {
    await assertRejects(() => loadPrompts(join(root, "prompts.json")), MaspError, "correct prompt_json_path");
  });
});

Deno.test("mapParallel: keeps the order and stops at the first error", async () => {
  const items = Array.from({ length: 200 }, (_, i) => i);
  const wait = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));
  assertEquals(await mapParallel(items, async (i) => (await wait(i % 7), i * 2)), items.map((i) => i * 2));
  let started = 0;
  await assertRejects(
    () =>
      mapParallel(items, async (i) => {
        started++;
        await wait(1);
        if (i === 3) throw new MaspError("three");
      }),
    MaspError,
    "three",
  );
  await wait(20);
  assert(started < items.length);
});
