/** Golden cases of the data: which samples stage 1, stage 2 and the evaluation make of a data set, in which order, with which labels. */
import { join } from "@std/path";
import { loadAspectSamples } from "../data/aspect_samples.ts";
import { loadExamples } from "../data/examples.ts";
import { loadPrompts } from "../data/prompts.ts";
import type { GoldenTraining } from "./golden_folder.ts";
import type { GoldenContext } from "./model_cases.ts";

/** Pictures, views and labels. Questions are drawn at random, so a recorded one has only to be among the view's questions. */
export async function sampleCases({ folder, comparison }: GoldenContext): Promise<void> {
  const stage1 = folder.case<GoldenTraining>("stage1");
  const stage2 = folder.case<GoldenTraining>("stage2");
  if (!stage1?.samples || !stage1.views || !stage2?.train || !stage2.test) return;
  const prompts = await loadPrompts(folder.path("prompts.json"));
  const train = await loadExamples(folder.path("emoset"), { split: "train" });
  const test = await loadExamples(folder.path("emoset"), { split: "test" });
  const samples = await loadAspectSamples(train, { views: stage1.views, prompts, seed: 0 });
  const place = { case: "samples", name: "stage 1" };
  const at = (image: string) => join(folder.dir, image);
  comparison.equal({ ...place, group: "stage 1" }, {
    actual: samples.map(({ image, view, label }) => `${join(image)} ${view} ${label}`),
    expected: stage1.samples.map(({ image, task, label }) => `${at(image)} ${task} ${label}`),
  });
  for (const { task, text } of stage1.samples) {
    comparison.equal({ ...place, group: "questions" }, { actual: prompts[task].includes(text) ? text : "", expected: text });
  }
  for (const [name, found, recorded] of [["stage 2", train, stage2.train], ["evaluation", test, stage2.test]] as const) {
    comparison.equal({ case: "samples", group: name, name }, {
      actual: found.map(({ image, label }) => `${join(image)} ${label}`),
      expected: recorded.map(({ image, label }) => `${at(image)} ${label}`),
    });
  }
}
