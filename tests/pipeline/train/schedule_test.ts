import { assertAlmostEquals, assertEquals } from "@std/assert";
import { ADAMW_DEFAULTS } from "../../../pipeline/train/adamw_settings.ts";
import { learningRateAt, type ScheduleType } from "../../../pipeline/train/schedule.ts";

const rates = (type: ScheduleType | undefined, options: { totalSteps: number; warmupRatio: number }) =>
  Array.from({ length: options.totalSteps }, (_, step) => learningRateAt(step, { learningRate: 2, type, ...options }));

Deno.test("schedule: linear falls by the same amount each step behind the warm-up", () => {
  assertEquals(rates("linear", { totalSteps: 10, warmupRatio: 0.2 }), [0, 1, 2, 1.75, 1.5, 1.25, 1, 0.75, 0.5, 0.25]);
  assertEquals(rates(undefined, { totalSteps: 4, warmupRatio: 0 }), [2, 1.5, 1, 0.5]);
});

Deno.test("schedule: the warm-up is rounded up to whole steps, and its first step has rate 0", () => {
  assertEquals(rates("linear", { totalSteps: 12, warmupRatio: 0.03 }).slice(0, 3), [0, 2, 2 * 10 / 11]);
  assertEquals(rates("constant_with_warmup", { totalSteps: 5, warmupRatio: 0.5 }), [0, 2 / 3, 4 / 3, 2, 2]);
});

Deno.test("schedule: cosine from the highest rate to 0", () => {
  const found = rates("cosine", { totalSteps: 9, warmupRatio: 1 / 9 });
  assertEquals(found[0], 0);
  [1, Math.cos(Math.PI / 16) ** 2, Math.cos(Math.PI / 8) ** 2].forEach((part, i) => assertAlmostEquals(found[1 + i], 2 * part, 1e-12));
  assertAlmostEquals(found[5], 1, 1e-12); // half way
  assertAlmostEquals(learningRateAt(9, { learningRate: 2, type: "cosine", totalSteps: 9, warmupRatio: 1 / 9 }), 0, 1e-12);
});

Deno.test("schedule: constant, and steps past the end", () => {
  assertEquals(rates("constant", { totalSteps: 3, warmupRatio: 0.5 }), [2, 2, 2]);
  assertEquals(learningRateAt(11, { learningRate: 2, totalSteps: 10, warmupRatio: 0 }), 0);
  assertEquals(learningRateAt(0, { learningRate: 2, totalSteps: 0, warmupRatio: 0 }), 0);
});

Deno.test("optimizer: the defaults of Hugging Face's Trainer", () => {
  assertEquals(ADAMW_DEFAULTS, { betas: [0.9, 0.999], eps: 1e-8, weightDecay: 0.01, maxNorm: 1, eightBit: false });
});
