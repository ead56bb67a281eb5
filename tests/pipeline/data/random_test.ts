import { assert, assertAlmostEquals, assertEquals, assertNotEquals, assertThrows } from "@std/assert";
import { seededRandom } from "../../../pipeline/data/random.ts";
import { epochOrder } from "../../../pipeline/data/sampler.ts";

const draw = (seed: number, stream: string, count = 8) => {
  const random = seededRandom(seed, stream);
  return Array.from({ length: count }, () => random.next());
};

Deno.test("seededRandom: the same numbers for the same seed and stream, others otherwise", () => {
  assertEquals(draw(3407, "a"), draw(3407, "a"));
  assertNotEquals(draw(3407, "a"), draw(3408, "a"));
  assertNotEquals(draw(3407, "a"), draw(3407, "b"));
  assertNotEquals(draw(-1, "a"), draw(1, "a"));
  assertNotEquals(draw(2 ** 32, "a"), draw(0, "a"));
});

Deno.test("seededRandom: the numbers stay what they are, so old runs can be repeated", () => {
  const random = seededRandom(3407, "frozen");
  assertEquals([random.int(2 ** 32), random.int(2 ** 32), random.int(10), random.next()], [2503009836, 2059157520, 7, 0.6048880960161384]);
});

Deno.test("seededRandom: next is uniform in [0, 1)", () => {
  const values = draw(1, "uniform", 20000);
  assert(values.every((value) => value >= 0 && value < 1));
  const mean = values.reduce((sum, value) => sum + value, 0) / values.length;
  const variance = values.reduce((sum, value) => sum + (value - mean) ** 2, 0) / values.length;
  assertAlmostEquals(mean, 0.5, 0.01);
  assertAlmostEquals(variance, 1 / 12, 0.003);
});

Deno.test("seededRandom: int covers every value evenly and refuses what is no range", () => {
  const random = seededRandom(2, "int");
  const counts = [0, 0, 0, 0, 0];
  for (let i = 0; i < 10000; i++) counts[random.int(5)]++;
  assert(counts.every((count) => Math.abs(count - 2000) < 200), String(counts));
  assertEquals(random.int(1), 0);
  for (const n of [0, -1, 1.5, NaN, 2 ** 33]) assertThrows(() => random.int(n), RangeError, "expected a whole number");
});

Deno.test("seededRandom: normal has mean 0, variance 1 and normal tails", () => {
  const random = seededRandom(3, "normal");
  const values = Array.from({ length: 20000 }, () => random.normal());
  const mean = values.reduce((sum, value) => sum + value, 0) / values.length;
  assertAlmostEquals(mean, 0, 0.03);
  assertAlmostEquals(values.reduce((sum, value) => sum + (value - mean) ** 2, 0) / values.length, 1, 0.04);
  assertAlmostEquals(values.filter((value) => Math.abs(value) > 1.96).length / values.length, 0.05, 0.006);
});

Deno.test("seededRandom: shuffle returns a permutation and leaves the array alone", () => {
  const array = Object.freeze([1, 2, 3, 4, 5, 6, 7, 8]);
  const shuffled = seededRandom(4, "shuffle").shuffle(array);
  assertNotEquals(shuffled, [...array]);
  assertEquals(shuffled.toSorted(), [...array]);
  const counts = new Map<string, number>();
  const random = seededRandom(5, "shuffle");
  for (let i = 0; i < 6000; i++) {
    const order = random.shuffle(["a", "b", "c"]).join("");
    counts.set(order, (counts.get(order) ?? 0) + 1);
  }
  assertEquals(counts.size, 6);
  assert([...counts.values()].every((count) => Math.abs(count - 1000) < 150), JSON.stringify([...counts]));
});

Deno.test("seededRandom: a seed that is no whole number is refused", () => {
  for (const seed of [1.5, NaN, Infinity]) assertThrows(() => seededRandom(seed, "x"), RangeError, "expected a whole number");
});

Deno.test("epochOrder: depends on seed and epoch alone", () => {
  const samples = Array.from({ length: 20 }, (_, i) => i);
  const order = epochOrder(samples, { seed: 1, epoch: 2 });
  assertEquals(order, epochOrder(samples, { seed: 1, epoch: 2 }));
  assertNotEquals(order, epochOrder(samples, { seed: 1, epoch: 3 }));
  assertNotEquals(order, epochOrder(samples, { seed: 2, epoch: 2 }));
  assertEquals(order.toSorted((a, b) => a - b), samples);
  assertEquals(samples[0], 0);
});
