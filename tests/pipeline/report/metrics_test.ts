import { assertAlmostEquals, assertEquals, assertStringIncludes, assertThrows } from "@std/assert";
import { categoriesOf } from "../../../pipeline/data/categories.ts";
import { MaspError } from "../../../pipeline/errors.ts";
import { classAverages, classMetrics, confusion } from "../../../pipeline/report/confusion.ts";
import { emotionMetrics, predictionOf } from "../../../pipeline/report/metrics.ts";
import { proportion } from "../../../pipeline/report/proportion.ts";

/** Rows of label and answer, by words: "label answer". An underscore stands for a space. */
function rowsOf(text: string): { prediction: string; label: string }[] {
  return text.trim().split(/\s+/).map((pair) => {
    const [label, prediction] = pair.split(">");
    return { label, prediction: prediction.replaceAll("_", " ") };
  });
}

Deno.test("predictionOf: lower case, up to the first line break", () => {
  assertEquals(predictionOf("Amusement"), "amusement");
  assertEquals(predictionOf("Awe\nand more"), "awe");
  assertEquals(predictionOf("\nawe"), "");
  assertEquals(predictionOf(" Fear."), " fear.");
});

Deno.test("emotionMetrics: macro and weighted F1, recall and precision as computed by hand", () => {
  // a: 3 pictures, answers a a b   b: 2 pictures, answers b other   c: 1 picture, answer a
  const rows = rowsOf("a>a a>a a>b b>b b>nothing c>a");
  const metrics = emotionMetrics(rows, { categories: ["a", "b", "c"] });
  assertEquals(metrics.confusion.counts, [[2, 1, 0, 0], [0, 1, 0, 1], [1, 0, 0, 0]]);
  assertEquals(metrics.classes, [
    { category: "a", support: 3, predicted: 3, precision: 2 / 3, recall: 2 / 3, f1: 2 / 3 },
    { category: "b", support: 2, predicted: 2, precision: 1 / 2, recall: 1 / 2, f1: 1 / 2 },
    { category: "c", support: 1, predicted: 0, precision: 0, recall: 0, f1: 0 },
  ]);
  assertAlmostEquals(metrics.macroF1, 7 / 18, 1e-12); // (2/3 + 1/2 + 0) / 3
  assertAlmostEquals(metrics.weightedF1, 0.5, 1e-12); // (3 · 2/3 + 2 · 1/2 + 0) / 6
  assertAlmostEquals(metrics.macroRecall, 7 / 18, 1e-12);
  assertEquals([metrics.accuracy.correct, metrics.accuracy.total, metrics.accuracy.value], [3, 6, 0.5]);
  assertEquals(metrics.total, 6);
});

Deno.test("emotionMetrics: categories that never occur do not lower the averages; wrongly answered ones do", () => {
  const rows = rowsOf("a>a b>b");
  assertEquals(emotionMetrics(rows, { categories: ["a", "b", "c", "d"] }).macroF1, 1);
  const { macroF1, macroRecall, weightedF1 } = emotionMetrics(rowsOf("a>a a>c b>b"), { categories: ["a", "b", "c", "d"] });
  assertAlmostEquals(macroF1, (2 / 3 + 1 + 0) / 3, 1e-12);
  assertAlmostEquals(macroRecall, (1 / 2 + 1) / 2, 1e-12);
  assertAlmostEquals(weightedF1, (2 * 2 / 3 + 1) / 3, 1e-12);
});

Deno.test("emotionMetrics: the reference counts exact answers, trimming is counted beside it", () => {
  const metrics = emotionMetrics(rowsOf("joy>joy joy>_joy fear>fear_ fear>fear. fear>joyful"), { categories: ["joy", "fear"] });
  assertEquals(metrics.accuracy.correct, 1);
  assertEquals(metrics.trimmed.correct, 3);
  assertEquals(metrics.other.count, 2);
  assertAlmostEquals(metrics.other.value, 0.4);
  assertEquals(metrics.other.answers, [{ answer: "fear.", count: 1 }, { answer: "joyful", count: 1 }]);
  assertEquals(metrics.confusion.counts, [[2, 0, 0], [0, 1, 2]]);
});

Deno.test("emotionMetrics: other answers are listed by how often they come, ten at most", () => {
  const rows = Array.from({ length: 15 }, (_, i) => ({ label: "a", prediction: `x${i}` }));
  const { answers, count } = emotionMetrics([...rows, ...rows.slice(12)], { categories: ["a"] }).other;
  assertEquals(count, 18);
  assertEquals(answers.length, 10);
  assertEquals(answers.slice(0, 4).map(({ answer, count }) => `${answer} ${count}`), ["x12 2", "x13 2", "x14 2", "x0 1"]);
});

Deno.test("emotionMetrics: positive and negative where every category is one of them", () => {
  const categories = categoriesOf("EmoSet");
  const { sentiment } = emotionMetrics(rowsOf("awe>amusement awe>fear anger>fear sadness>sadness fear>scared"), { categories });
  assertEquals([sentiment?.accuracy.correct, sentiment?.accuracy.total], [3, 5]);
  assertEquals([sentiment?.positive.correct, sentiment?.positive.total], [1, 2]);
  assertEquals([sentiment?.negative.correct, sentiment?.negative.total], [2, 3]);
  const two = emotionMetrics(rowsOf("positive>positive negative>positive"), { categories: categoriesOf("Flickr") });
  assertEquals(two.sentiment?.accuracy.value, 0.5);
  assertEquals(emotionMetrics(rowsOf("sad>sad"), { categories: categoriesOf("ArtPhoto") }).sentiment?.accuracy.value, 1);
  assertEquals(emotionMetrics(rowsOf("joy>joy"), { categories: ["joy", "awe"] }).sentiment, undefined);
  assertEquals(emotionMetrics(rowsOf("x>x"), { categories: ["x", "constructor"] }).sentiment, undefined);
});

Deno.test("emotionMetrics: pictures of surprise count neither as positive nor as negative; as an answer it is wrong", () => {
  const rows = rowsOf("joy>joy joy>surprise fear>anger fear>joy surprise>surprise surprise>joy surprise>else");
  const { sentiment } = emotionMetrics(rows, { categories: categoriesOf("Emotion6") });
  assertEquals([sentiment?.accuracy.correct, sentiment?.accuracy.total], [2, 4]);
  assertEquals([sentiment?.positive.correct, sentiment?.positive.total], [1, 2]);
  assertEquals([sentiment?.negative.correct, sentiment?.negative.total], [1, 2]);
  assertEquals(emotionMetrics(rowsOf("joy>joy"), { categories: ["joy", "surprise"] }).sentiment, undefined);
});

Deno.test("emotionMetrics: no pictures; a label that is no category", () => {
  const { accuracy, macroF1, weightedF1, total } = emotionMetrics([], { categories: ["a"] });
  assertEquals([accuracy.value, accuracy.interval, macroF1, weightedF1, total], [0, [0, 1], 0, 0, 0]);
  const error = assertThrows(() => emotionMetrics(rowsOf("joy>joy hunger>joy"), { categories: ["joy", "fear"] }), MaspError);
  assertStringIncludes(error.message, '"hunger"');
  assertStringIncludes(error.message, "joy, fear");
  assertThrows(() => confusion(rowsOf("x>y"), ["y"]), RangeError, '"x"');
});

Deno.test("emotionMetrics: many rows agree with counting another way", () => {
  const categories = categoriesOf("EmoSet");
  const answers = [...categories, "else"];
  const rows = Array.from(
    { length: 500 },
    (_, i) => ({ label: categories[(i * i + 3 * i) % 8], prediction: answers[(i * 7 + (i >> 3)) % 9] }),
  );
  const classes = classMetrics(confusion(rows, categories));
  for (const { category, precision, recall, f1 } of classes) {
    const tp = rows.filter(({ label, prediction }) => label === category && prediction === category).length;
    const fp = rows.filter(({ label, prediction }) => label !== category && prediction === category).length;
    const fn = rows.filter(({ label, prediction }) => label === category && prediction !== category).length;
    assertAlmostEquals(precision, tp + fp === 0 ? 0 : tp / (tp + fp), 1e-12);
    assertAlmostEquals(recall, tp + fn === 0 ? 0 : tp / (tp + fn), 1e-12);
    assertAlmostEquals(f1, precision + recall === 0 ? 0 : 2 * precision * recall / (precision + recall), 1e-12);
  }
  assertEquals(classAverages([]), { macroF1: 0, weightedF1: 0, macroRecall: 0 });
});

Deno.test("proportion: Wilson's interval at known values and at the ends", () => {
  const { value, interval: [low, high] } = proportion(92, 128);
  assertAlmostEquals(value, 0.71875);
  assertAlmostEquals(low, 0.635366, 1e-6);
  assertAlmostEquals(high, 0.789387, 1e-6);
  const none = proportion(0, 10).interval;
  assertEquals(none[0], 0);
  assertAlmostEquals(none[1], 0.277533, 1e-6);
  const all = proportion(10, 10).interval;
  assertEquals(all[1], 1);
  assertAlmostEquals(all[0], 0.722467, 1e-6);
});
