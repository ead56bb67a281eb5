/** Steps of different views that share a pass: the same losses, norms and parameters as one after the other. */
import { assert, assertAlmostEquals, assertEquals, assertLess } from "@std/assert";
import type { Gpu } from "../../../kernels/gpu.ts";
import { createAspects, trainAspects, type TrainAspectsOptions } from "../../../pipeline/aspect_attend.ts";
import { FeatureStore } from "../../../pipeline/encode.ts";
import type { Qwen2Vl } from "../../../pipeline/load.ts";
import { groupSteps } from "../../../pipeline/train/step_grouping.ts";
import type { TrainingStep } from "../../../pipeline/train/training_run.ts";
import { relativeError } from "../../kernels/support.ts";
import { demoExamples, demoPrompts, modelTest, temporaryFolder } from "../stages/support.ts";
import { resizedPicture } from "../train/resized_picture.ts";

type Options = Partial<TrainAspectsOptions> & Pick<TrainAspectsOptions, "examples"> & { offload?: boolean };

/** Trains until the end, or until a step was told. */
async function trained(model: Qwen2Vl, { offload, ...options }: Options, last = Infinity) {
  const { counters } = model.gpu;
  counters.peakBytes = counters.bytes;
  using aspects = createAspects(model, { seed: 1, offload });
  const controller = new AbortController();
  const run = { prompts: await demoPrompts(), seed: 1, learningRate: 1e-3, warmupRatio: 0.1, signal: controller.signal };
  const before = { ...counters };
  const steps: TrainingStep[] = [];
  for await (const step of trainAspects(model, aspects, { ...run, ...options })) {
    steps.push(step);
    if (step.step === last) controller.abort();
  }
  const [dispatches, bytes] = [counters.dispatches - before.dispatches, counters.peakBytes];
  return { steps, aspects: await aspects.read(), dispatches, bytes };
}

type Trained = Awaited<ReturnType<typeof trained>>;

/**
 * The same steps and parameters: bit for bit on a software adapter. Other adapters choose their kernels by the number of rows of a pass, and so add up
 * in another order where steps share one.
 */
function assertSame(gpu: Gpu, actual: Pick<Trained, "steps" | "aspects">, expected: Pick<Trained, "steps" | "aspects">): void {
  if (gpu.software) {
    assertEquals(actual.steps, expected.steps);
    assertEquals(actual.aspects, expected.aspects);
    return;
  }
  const places = ({ steps }: Pick<Trained, "steps">) => steps.map(({ loss: _, gradientNorm: __, ...place }) => place);
  assertEquals(places(actual), places(expected));
  for (const [i, { loss, gradientNorm }] of expected.steps.entries()) {
    assertAlmostEquals(actual.steps[i].loss, loss, 1e-3 * Math.abs(loss) + 1e-5);
    assertAlmostEquals(actual.steps[i].gradientNorm, gradientNorm, 1e-3 * gradientNorm);
  }
  const parameters = ({ aspects: { queries, attention } }: Pick<Trained, "aspects">) => [
    ...queries.values(),
    ...attention.values().flatMap((view) => Object.values(view)),
  ];
  parameters(expected).forEach((values, i) => assertLess(relativeError(parameters(actual)[i], values), 1e-3));
}

/** Pictures of three sizes, the largest in the middle. */
async function pictures(dir: string) {
  const sizes = [[84, 112], [112, 84], [308, 308], [140, 140]] as const;
  const examples = await demoExamples(8);
  return await Promise.all(
    examples.map(async (example, i) => ({ ...example, image: await resizedPicture(example.image, { dir, size: sizes[i % 4] }) })),
  );
}

modelTest("steps of different views in one pass: the same losses, norms and parameters", async (model) => {
  using dir = temporaryFolder();
  await using store = new FeatureStore(model);
  const shared = { examples: await pictures(dir.path), store, adamW: { eightBit: true }, maxSteps: 36 };
  const alone = await trained(model, { ...shared, groupViews: 1 });
  assertEquals(alone.steps.map(({ step }) => step), Array.from({ length: 36 }, (_, i) => i));
  assertEquals(alone.steps[0].learningRate, 0);

  const together = await trained(model, { ...shared, groupViews: 6 });
  assertSame(model.gpu, together, alone);
  assertLess(together.dispatches, 0.7 * alone.dispatches, "little was computed together");

  // Stopped and gone on with, with other groups and boundaries
  const parts = { ...shared, checkpointDir: dir.file("checkpoints"), saveEvery: 7 };
  const stopped = await trained(model, { ...parts, groupViews: 4 }, 9);
  assert(stopped.steps.length > 9 && stopped.steps.length < 36, `stopped after ${stopped.steps.length} steps`);
  const resumed = await trained(model, { ...parts, groupViews: 2, resume: true });
  assertSame(model.gpu, { steps: [...stopped.steps, ...resumed.steps], aspects: resumed.aspects }, alone);
});

modelTest("steps of different views in one pass: layers computed again change nothing", async (model) => {
  const shared = { examples: await demoExamples(4), maxSteps: 12 };
  const [alone, together] = [
    await trained(model, { ...shared, groupViews: 1 }),
    await trained(model, { ...shared, groupViews: 6, recompute: true }),
  ];
  assertSame(model.gpu, together, alone);
});

modelTest("one view at a time on the GPU: the same losses, norms and parameters in less memory", async (model) => {
  using dir = temporaryFolder();
  await using store = new FeatureStore(model);
  for (const eightBit of [false, true]) {
    const shared = { examples: await demoExamples(8), store, adamW: { eightBit }, maxSteps: 36 };
    const all = await trained(model, { ...shared, groupViews: 1 });
    const offloaded = await trained(model, { ...shared, offload: true });
    assertSame(model.gpu, offloaded, all);
    const modules = 4 * all.aspects.views.length * (4 * all.aspects.hidden ** 2);
    assertLess(offloaded.bytes, all.bytes - modules * (eightBit ? 1 : 2), "little memory was saved");

    // Stopped and gone on with the other way
    const parts = { ...shared, checkpointDir: dir.file(`checkpoints${eightBit}`), saveEvery: 7 };
    const stopped = await trained(model, { ...parts, offload: eightBit }, 9);
    const resumed = await trained(model, { ...parts, offload: !eightBit, resume: true });
    assertSame(model.gpu, { steps: [...stopped.steps, ...resumed.steps], aspects: resumed.aspects }, all);
  }
});

modelTest("one view at a time on the GPU: batches of several views", async (model) => {
  const shared = { examples: await demoExamples(4), batchSize: 3, gradientAccumulation: 2, maxSteps: 4 };
  const [all, offloaded] = [await trained(model, shared), await trained(model, { ...shared, offload: true })];
  assertEquals(offloaded.steps, all.steps);
  assertEquals(offloaded.aspects, all.aspects);
});

Deno.test("groups of steps: each once, steps that change the same thing in their order, as few groups as can be", () => {
  const names = ["a", "b", "c", "d", "e"];
  assertEquals(groupSteps(["b", "a", "b", "c", "a"], { most: 1, inTurn: true }), [[0], [2], [1], [4], [3]]);
  for (let seed = 0; seed < 50; seed++) {
    const changes = Array.from({ length: seed }, (_, i) => names[(i * i * 7 + seed * i + (i >> 2)) % (1 + seed % 5)]);
    for (const most of [1, 2, 3, 8]) {
      const groups = groupSteps(changes, { most });
      assertEquals(groups.flat().sort((a, b) => a - b), changes.map((_, i) => i));
      assert(groups.every((group) => group.length <= most && new Set(group.map((i) => changes[i])).size === group.length));
      for (const name of names) {
        const own = groups.flat().filter((i) => changes[i] === name);
        assertEquals(own, own.toSorted((a, b) => a - b));
      }
      const longest = Math.max(0, ...names.map((name) => changes.filter((change) => change === name).length));
      assertEquals(groups.length, Math.max(longest, Math.ceil(changes.length / most)));
    }
  }
});
