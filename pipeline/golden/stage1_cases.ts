/** Golden cases of stage 1. n queries, N visual tokens, D hidden, L tokens. */
import { Plan } from "../../kernels/plan.ts";
import { AspectModules } from "../aspects/aspect_modules.ts";
import type { AspectParameters } from "../checkpoint/aspect_file.ts";
import { FeatureStore } from "../encode.ts";
import { maspSequence } from "../masp_sequence.ts";
import { AspectTrainer } from "../train/aspect_trainer.ts";
import { learningRateAt } from "../train/schedule.ts";
import { parametersOf, valuesOf } from "./aspect_values.ts";
import { compareText, type Place } from "./compare_text.ts";
import type { GoldenTraining } from "./golden_folder.ts";
import { type GoldenContext, logitsOf } from "./model_cases.ts";
import { moduleGradients, UndeterminedElements } from "./undetermined_elements.ts";

/** Every step of stage 1: texts, ids, aspect tokens, embeddings, logits, gradients; losses and norms; the parameters behind it. */
export async function stage1Cases(context: GoldenContext): Promise<void> {
  const { folder, model, comparison, tolerances } = context;
  const training = folder.case<GoldenTraining>("stage1");
  if (!training?.samples || !training.views) return;
  const { gpu } = model;
  const sizes = { views: training.views, tokens: training.num_query_tokens ?? 5 };
  using aspects = new AspectModules(gpu, parametersOf(folder, { ...sizes, prefix: "stage1/init" }));
  await using store = new FeatureStore(model);
  const adamW = { weightDecay: training.wd, maxNorm: training.max_grad_norm };
  using trainer = new AspectTrainer(model, { aspects, store, adamW });
  const undetermined = new UndeterminedElements(aspects);
  const schedule = { learningRate: training.lr1, totalSteps: training.order.length, warmupRatio: training.warmup_ratio };
  const trainedViews = new Set<string>(); // what depends on trained parameters may differ as much as these
  for (const [step, index] of training.order.entries()) {
    const { image, task: view, text: question, label } = training.samples[index];
    const trained = trainedViews.has(view);
    const sample = { image: folder.path(image), view, question, label };
    const place = { case: "stage1", name: `step${step}` };
    const { tensor: features } = await store.get(sample.image);
    compareText(context, { place, step: `stage1/step${step}`, chat: { question, answer: label }, visualTokens: features.shape[0] });
    if (folder.has(`stage1/step${step}/z`)) await compareForward(context, { place, aspects, sample, trained });
    trainer.begin();
    const loss = await trainer.accumulate(sample, { weight: 1 });
    comparison.close({ ...place, group: trained ? "loss, trained" : "loss" }, {
      actual: await gpu.readFloats(loss),
      expected: [training.losses[step]],
      tolerance: trained ? tolerances.training : tolerances.forward,
    });
    if (folder.has(`stage1/step${step}/grad_q`)) await compareGradients(context, { place, aspects, trainer, view, trained });
    await undetermined.note(view, trainer.gradients(view), gpu);
    const learningRate = learningRateAt(step, schedule);
    if (training.lr) {
      comparison.close({ ...place, group: "learning rate" }, { actual: [learningRate], expected: [training.lr[step]], tolerance: 1e-6 });
    }
    if (learningRate > 0) trainedViews.add(view);
    const [norm] = await gpu.readFloats(await trainer.update({ learningRate }));
    const values = { actual: [norm], expected: [training.grad_norms[step]], tolerance: tolerances.training };
    comparison.close({ ...place, group: "gradient norm" }, values);
  }
  const trained = await aspects.read();
  const wanted = parametersOf(folder, { ...sizes, prefix: "stage1/final" });
  for (const view of sizes.views) compareModule(context, { view, trained, wanted, undetermined: undetermined.of(view) });
}

async function compareForward(
  { folder, model, comparison, tolerances }: GoldenContext,
  args: {
    place: Place;
    aspects: AspectModules;
    sample: { image: string; view: string; question: string; label: string };
    trained: boolean;
  },
): Promise<void> {
  const { place, aspects, sample: { image, view, question, label }, trained } = args;
  const { gpu } = model;
  const key = `stage1/${place.name}`;
  const tolerance = trained ? tolerances.training : tolerances.forward;
  const group = (name: string) => trained ? `${name}, trained` : name;
  await using store = new FeatureStore(model);
  const { tensor: features } = await store.get(image);
  using plan = new Plan(gpu, "aspect");
  const z = plan.persistent([aspects.tokens, aspects.hidden]);
  const attention = plan.persistent([aspects.tokens, features.shape[0]]);
  aspects.recordForward(plan, view, { features, z, attention });
  plan.run();
  comparison.close({ ...place, group: group("z") }, { actual: await gpu.readFloats(z), expected: folder.numbers(`${key}/z`), tolerance });
  const weights = { actual: await gpu.readFloats(attention), expected: folder.numbers(`${key}/attention`), tolerance };
  comparison.close({ ...place, group: group("attention") }, weights);
  const rows = { aspects: Array.from({ length: aspects.tokens }, (_, i) => i) };
  const sequence = maspSequence(model, { chat: { question, answer: label }, rows });
  const last = folder.shape(`${key}/last_logits`)[0];
  const wanted = Array.from({ length: last }, (_, i) => sequence.ids.length - last + i);
  const { logits, embeddings } = await logitsOf(model, { prompt: sequence, sources: { aspects: z }, rows: wanted });
  comparison.close({ ...place, group: group("embeddings") }, {
    actual: embeddings,
    expected: folder.numbers(`${key}/inputs_embeds`),
    tolerance,
  });
  comparison.close({ ...place, group: group("logits") }, { actual: logits, expected: folder.numbers(`${key}/last_logits`), tolerance });
}

async function compareGradients(
  { folder, model: { gpu }, comparison, tolerances: { training: tolerance } }: GoldenContext,
  args: { place: Place; aspects: AspectModules; trainer: AspectTrainer; view: string; trained: boolean },
): Promise<void> {
  const { place, aspects, trainer, view, trained } = args;
  for (const [part, actual] of Object.entries(await moduleGradients(aspects, trainer.gradients(view), gpu))) {
    const name = part === "q_view" ? "grad_q" : `grad.${part}`;
    const expected = folder.numbers(`stage1/${place.name}/${name}`);
    const what = { ...place, group: trained ? "gradients, trained" : "gradients", name: `${place.name} ${name}` };
    comparison.close(what, { actual, expected, tolerance: trained ? 10 * tolerance : tolerance });
  }
}

/**
 * A trained module: the elements that are determined within the tolerance, all of them within ten times that. The key bias is left out:
 * moving all scores of a row by the same number does nothing to the softmax, so its gradient is 0. What PyTorch has there is rounding noise
 * of about 1e-9, which AdamW scales up to steps; here the key bias stays as it was.
 */
function compareModule(
  { comparison, tolerances }: GoldenContext,
  args: { view: string; trained: AspectParameters; wanted: AspectParameters; undetermined: Record<string, Set<number>> },
): void {
  const { view, trained, wanted, undetermined } = args;
  const [actual, expected] = [trained, wanted].map((parameters) => valuesOf(parameters, view));
  for (const values of [actual, expected]) values.in_proj_bias.fill(0, trained.hidden, 2 * trained.hidden);
  for (const name of Object.keys(expected)) {
    const place = { case: "stage1", name: `${view} ${name}` };
    const tolerance = tolerances.training;
    const keep = (_: number, i: number) => !undetermined[name]?.has(i);
    const determined = { actual: actual[name].filter(keep), expected: expected[name].filter(keep), tolerance };
    comparison.close({ ...place, group: "trained" }, determined);
    comparison.close({ ...place, group: "trained, all" }, { actual: actual[name], expected: expected[name], tolerance: 10 * tolerance });
  }
}
