/** The way of a user of the library: everything through `mod.ts`. */
import { assert, assertEquals, assertGreater, assertLess, assertRejects } from "@std/assert";
import { join } from "@std/path";
import * as masp from "../../../mod.ts";
import { DEMO, DEMO_DATA, DEMO_MODEL, demoExamples, meanLoss, stepsOf, temporaryFolder } from "./support.ts";

Deno.test({
  name: "whole way: both stages, files, evaluation and prediction through mod.ts",
  sanitizeOps: false,
  sanitizeResources: false,
  async fn(t) {
    using dir = temporaryFolder();
    await using gpu = await masp.requestGpu();
    using model = await masp.loadQwen2Vl(gpu, DEMO_MODEL);
    assertEquals(model.unusedTensors, []);
    const prompts = await masp.loadPrompts(join(DEMO, "prompts.json"));
    const categories = masp.categoriesOf("EmoSet");
    const examples = await demoExamples(16);
    using aspects = masp.createAspects(model, { tokens: 5, seed: 1 });
    await using store = new masp.FeatureStore(model);

    await t.step("stage 1: the loss falls", async () => {
      const steps = await stepsOf(
        masp.trainAspects(model, aspects, { examples, prompts, seed: 1, epochs: 2, maxSteps: 96, learningRate: 1e-3, store }),
      );
      assertEquals(steps.map(({ step }) => step), Array.from({ length: 96 }, (_, i) => i));
      assertLess(meanLoss(steps.slice(-32)), 0.8 * meanLoss(steps.slice(0, 32)));
      assert(steps.every(({ gradientNorm, learningRate }) => gradientNorm > 0 && learningRate > 0));
      assertEquals(store.counters.encoded, 16);
    });

    await t.step("stage 1: files hold the modules bit for bit", async () => {
      const trained = await aspects.read();
      for (const name of ["aspect.safetensors", "aspect.pth"]) {
        await aspects.save(dir.file(name));
        using loaded = await masp.loadAspects(model, dir.file(name));
        assertEquals(await loaded.read(), trained, name);
      }
      using two = await masp.loadAspects(model, dir.file("aspect.pth"), { views: ["scene", "object"] });
      assertEquals(two.views, ["scene", "object"]);
      assertEquals((await two.read()).queries.get("scene"), trained.queries.get("scene"));
      const missing = () => masp.loadAspects(model, dir.file("aspect.pth"), { views: ["weather"] });
      await assertRejects(missing, masp.MaspError, 'no view "weather"');
    });

    using prompt = masp.createSoftPrompt(model);
    await t.step("stage 2: the loss falls, the aspect modules stay", async () => {
      const before = await aspects.read();
      const run = { examples, prompts, categories, aspects, seed: 1, epochs: 3, learningRate: 3e-2, store };
      const steps = await stepsOf(masp.tunePrompt(model, prompt, run));
      assertEquals(steps.length, 48);
      assertLess(meanLoss(steps.slice(-16)), meanLoss(steps.slice(0, 16)));
      assertEquals(await aspects.read(), before);
    });

    await t.step("stage 2: files hold the prompt bit for bit", async () => {
      const trained = await gpu.readFloats(prompt.rows);
      for (const name of ["soft_prompt.safetensors", "soft_prompt.pt"]) {
        await prompt.save(dir.file(name));
        using loaded = await masp.loadSoftPrompt(model, dir.file(name));
        assertEquals(loaded.tokens, prompt.tokens);
        assertEquals(await gpu.readFloats(loaded.rows), trained, name);
      }
    });

    await t.step("evaluation: every field, and the same from what was saved", async () => {
      const asked = { examples: examples.slice(0, 8), prompts, categories, seed: 1 };
      const { metrics, predictions } = await masp.evaluate(model, { ...asked, aspects, prompt, store });
      const right = predictions.filter(({ correct }) => correct).length;
      const { accuracy, trimmed, other, macroF1, weightedF1, classes } = metrics;
      assertEquals([metrics.total, accuracy.correct, accuracy.value, trimmed.total], [8, right, right / 8, 8]);
      assert(accuracy.interval[0] <= accuracy.value && accuracy.value <= accuracy.interval[1]);
      assert([macroF1, weightedF1, other.value].every((value) => value >= 0 && value <= 1));
      assertEquals(classes.map(({ category }) => category).toSorted(), categories.toSorted());
      assertEquals(predictions.map(({ label }) => label), asked.examples.map(({ label }) => label));
      assertGreater(right, 3); // these pictures were trained on; chance is 1 of 8
      using savedAspects = await masp.loadAspects(model, dir.file("aspect.pth"));
      using savedPrompt = await masp.loadSoftPrompt(model, dir.file("soft_prompt.pt"));
      const again = await masp.evaluate(model, { ...asked, aspects: savedAspects, prompt: savedPrompt });
      assertEquals(again.predictions, predictions);
      const baseline = await masp.evaluate(model, { ...asked, baseline: true, store });
      assertEquals(baseline.metrics.total, 8);
    });

    await t.step("prediction: scores of every category add up to 1, an aspect per view", async () => {
      const [image] = (await masp.loadExamples(DEMO_DATA, { split: "test" })).map(({ image }) => image);
      const reading = await masp.predict(model, image, { prompts, categories, aspects, prompt, seed: 1 });
      assertEquals(Object.keys(reading.scores).toSorted(), categories.toSorted());
      assertEquals(Object.keys(reading.scores)[0], reading.emotion);
      assert(Math.abs(Object.values(reading.scores).reduce((a, b) => a + b, 0) - 1) < 1e-6);
      assertEquals(Object.keys(reading.aspects), [...masp.VIEWS]);
    });
  },
});
