/** Golden cases of MASP: stage 1, stage 2, evaluation, and the reference's files. n queries, N visual tokens, D hidden, L tokens. */
import { Plan } from "../../kernels/plan.ts";
import type { Gpu } from "../../kernels/gpu.ts";
import { AspectModules, type FlatParameters } from "../aspects/aspect_modules.ts";
import { Answerer } from "../answerer.ts";
import { type AspectParameters, readAspectFile } from "../checkpoint/aspect_file.ts";
import { promptToken, readSoftPromptFile } from "../checkpoint/soft_prompt_file.ts";
import { FeatureStore } from "../encode.ts";
import { type Chat, chatText, maspSequence } from "../masp_sequence.ts";
import { PictureInputs } from "../picture_inputs.ts";
import { createSoftPrompt, loadSoftPrompt, type SoftPrompt } from "../soft_prompt.ts";
import { encodePrompt } from "../text/prompt_tokens.ts";
import { AspectTrainer } from "../train/aspect_trainer.ts";
import { PromptTrainer } from "../train/prompt_trainer.ts";
import { learningRateAt } from "../train/schedule.ts";
import { predictionOf } from "../report/metrics.ts";
import type { GoldenFolder, GoldenPrediction, GoldenTraining } from "./golden_folder.ts";
import { type GoldenContext, logitsOf } from "./model_cases.ts";

const PARTS = ["in_proj_weight", "in_proj_bias", "out_proj.weight", "out_proj.bias"] as const;

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
    const [norm] = await gpu.readFloats(trainer.update({ learningRate }));
    const values = { actual: [norm], expected: [training.grad_norms[step]], tolerance: tolerances.training };
    comparison.close({ ...place, group: "gradient norm" }, values);
  }
  const trained = await aspects.read();
  const wanted = parametersOf(folder, { ...sizes, prefix: "stage1/final" });
  for (const view of sizes.views) compareModule(context, { view, trained, wanted, undetermined: undetermined.of(view) });
}

/** Every step of stage 2 likewise, with the aspects that stage 1 left. */
export async function stage2Cases(context: GoldenContext): Promise<void> {
  const { folder, model, comparison, tolerances } = context;
  const training = folder.case<GoldenTraining>("stage2");
  if (!training?.train) return;
  const { gpu } = model;
  using aspects = finalAspects(context);
  await using store = new FeatureStore(model);
  using inputs = new PictureInputs(model, { store, aspects });
  const count = training.prefix_ids?.length ?? 32;
  using prompt = createSoftPrompt(model, { count });
  const place = { case: "stage2", name: "prefix" };
  if (training.prefix_ids) {
    const actual = prompt.tokens.map((token) => model.tokenizer.idOf(token));
    comparison.equal({ ...place, group: "prefix ids" }, { actual, expected: training.prefix_ids });
    comparison.equal({ ...place, group: "rows" }, { actual: prompt.head.rows, expected: training.rows_after_resize ?? prompt.head.rows });
  }
  comparison.close({ ...place, group: "first rows" }, {
    actual: await gpu.readFloats(prompt.rows),
    expected: folder.numbers("stage2/init/prefix"),
    tolerance: tolerances.forward,
  });
  const adamW = { weightDecay: training.wd, maxNorm: training.max_grad_norm };
  using trainer = new PromptTrainer(model, { prompt, inputs, adamW });
  const schedule = { learningRate: training.lr2, totalSteps: training.order.length, warmupRatio: training.warmup_ratio };
  for (const [step, index] of training.order.entries()) {
    const { image, text: question, label } = training.train[index];
    const sample = { image: folder.path(image), question, label };
    const key = `stage2/step${step}`;
    const place = { case: "stage2", name: `step${step}` };
    const chat = { question, answer: label, promptTokens: prompt.tokens, layout: prompt.layout };
    const { tokens } = await inputs.load(sample.image);
    compareText(context, { place, step: key, chat, visualTokens: tokens });
    if (folder.has(`${key}/inputs_embeds`)) {
      const sequence = maspSequence(model, { chat, rows: { aspects: inputs.aspectRows, features: tokens } });
      const sources = { ...inputs.sources, prompt: prompt.rows };
      const length = sequence.ids.length;
      const last = folder.shape(`${key}/last_logits`)[0];
      const rows = Array.from({ length: last }, (_, i) => length - last + i);
      const { logits, embeddings } = await logitsOf(model, { prompt: sequence, sources, rows, head: prompt.head });
      const tolerance = tolerances.forward;
      comparison.close({ ...place, group: "embeddings" }, {
        actual: embeddings,
        expected: folder.numbers(`${key}/inputs_embeds`),
        tolerance,
      });
      comparison.close({ ...place, group: "logits" }, { actual: logits, expected: folder.numbers(`${key}/last_logits`), tolerance });
    }
    trainer.begin();
    const loss = await trainer.accumulate(sample, { weight: 1 });
    comparison.close({ ...place, group: "loss" }, {
      actual: await gpu.readFloats(loss),
      expected: [training.losses[step]],
      tolerance: tolerances.forward,
    });
    const tolerance = tolerances.training;
    if (folder.has(`${key}/grad_prefix`)) {
      const actual = await gpu.readFloats(trainer.gradient);
      comparison.close({ ...place, group: "gradient" }, { actual, expected: folder.numbers(`${key}/grad_prefix`), tolerance });
    }
    const [norm] = await gpu.readFloats(trainer.update({ learningRate: learningRateAt(step, schedule) }));
    comparison.close({ ...place, group: "gradient norm" }, { actual: [norm], expected: [training.grad_norms[step]], tolerance });
  }
  const actual = await gpu.readFloats(prompt.rows);
  comparison.close({ ...place, group: "trained" }, {
    actual,
    expected: folder.numbers("stage2/final/prefix"),
    tolerance: tolerances.training,
  });
}

/** The evaluation's prompts, aspect tokens, logits, answers and predictions. */
export async function evaluationCases(context: GoldenContext): Promise<void> {
  const { folder, model, comparison, tolerances } = context;
  const samples = folder.case<GoldenTraining>("stage2")?.test;
  const recorded = folder.case<{ predictions: GoldenPrediction[]; max_new_tokens: number }>("eval");
  if (!samples || !recorded) return;
  const { gpu } = model;
  using aspects = finalAspects(context);
  await using store = new FeatureStore(model);
  using inputs = new PictureInputs(model, { store, aspects });
  using prompt = await loadSoftPrompt(model, folder.path("soft_prompt.pt"));
  using answerer = new Answerer(model, { inputs, prompt, maxNewTokens: recorded.max_new_tokens });
  for (const [i, { image, text: question, label }] of samples.entries()) {
    const place = { case: "eval", name: `${i}` };
    const chat = { question, promptTokens: prompt.tokens, layout: prompt.layout };
    const { tokens } = await inputs.load(folder.path(image));
    const text = chatText(model, chat);
    comparison.equal({ ...place, group: "text" }, { actual: text, expected: recorded.predictions[i].text });
    const expanded = encodePrompt(model.tokenizer, text, { imageToken: "<|image_pad|>", imageCounts: [tokens] });
    comparison.equal({ ...place, group: "input_ids" }, { actual: expanded, expected: folder.numbers(`eval/${i}/input_ids`) });
    await compareNextToken(context, { place, inputs, prompt, chat, tokens });
    if (!tolerances.exactAnswers) continue;
    const answer = await answerer.answer(folder.path(image), question);
    const wanted = Array.from(folder.numbers(`eval/${i}/generated`));
    const end = wanted.findIndex((id) => model.network.config.eosIds.includes(id));
    comparison.equal({ ...place, group: "generated" }, { actual: answer.tokens, expected: end < 0 ? wanted : wanted.slice(0, end) });
    comparison.equal({ ...place, group: "answer" }, { actual: answer.text, expected: recorded.predictions[i].generated });
    comparison.equal({ ...place, group: "prediction" }, { actual: predictionOf(answer.text), expected: recorded.predictions[i].pred });
    comparison.equal({ ...place, group: "label" }, { actual: label, expected: recorded.predictions[i].gold });
  }
  await gpu.sync();
}

/** The reference's checkpoint files hold what its training ended with. */
export async function fileCases({ folder, comparison }: GoldenContext): Promise<void> {
  const training = folder.case<GoldenTraining>("stage1");
  if (training?.views) {
    const trained = await readAspectFile(folder.path("aspect.pth"));
    const wanted = parametersOf(folder, { views: training.views, tokens: trained.tokens, prefix: "stage1/final" });
    for (const view of training.views) {
      const [a, b] = [trained, wanted].map((parameters) => valuesOf(parameters, view));
      for (const name of Object.keys(a)) {
        comparison.equal({ case: "files", group: "aspect.pth", name: `${view} ${name}` }, { actual: a[name], expected: b[name] });
      }
    }
  }
  const { rows, tokens } = await readSoftPromptFile(folder.path("soft_prompt.pt"));
  comparison.equal({ case: "files", group: "soft_prompt.pt", name: "prefix" }, {
    actual: rows,
    expected: folder.numbers("stage2/final/prefix"),
  });
  comparison.equal({ case: "files", group: "soft_prompt.pt", name: "tokens" }, {
    actual: tokens,
    expected: tokens.map((_, i) => promptToken(i)),
  });
}

type Place = { case: string; name: string };

function compareText(
  { folder, model, comparison }: GoldenContext,
  args: { place: Place; step: string; chat: Chat; visualTokens: number },
): void {
  const { place, step, chat, visualTokens } = args;
  const text = chatText(model, chat);
  const recorded = folder.case<{ text?: string }>(step)?.text;
  if (recorded !== undefined) comparison.equal({ ...place, group: "text" }, { actual: text, expected: recorded });
  const actual = encodePrompt(model.tokenizer, text, { imageToken: "<|image_pad|>", imageCounts: [visualTokens] });
  comparison.equal({ ...place, group: "input_ids" }, { actual, expected: folder.numbers(`${step}/input_ids`) });
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

async function compareNextToken(
  { folder, model, comparison, tolerances: { forward: tolerance } }: GoldenContext,
  args: { place: Place; inputs: PictureInputs; prompt: SoftPrompt; chat: Chat; tokens: number },
): Promise<void> {
  const { place, inputs, prompt, chat, tokens } = args;
  const hidden = model.network.config.text.hidden;
  const slots = await model.gpu.readFloats(inputs.sources.aspects);
  const z = inputs.aspectRows.flatMap((row) => [...slots.subarray(row * hidden, (row + 1) * hidden)]);
  comparison.close({ ...place, group: "z" }, { actual: z, expected: folder.numbers(`eval/${place.name}/z`), tolerance });
  const sequence = maspSequence(model, { chat, rows: { aspects: inputs.aspectRows, features: tokens } });
  const sources = { ...inputs.sources, prompt: prompt.rows };
  const { logits } = await logitsOf(model, { prompt: sequence, sources, rows: [sequence.ids.length - 1], head: prompt.head });
  comparison.close({ ...place, group: "next logits" }, {
    actual: logits,
    expected: folder.numbers(`eval/${place.name}/next_logits`),
    tolerance,
  });
}

/** Part of the root mean square of a tensor's gradient below which an element's gradient is mostly rounding noise. */
const NOISE = 1e-3;

/**
 * Elements of a module whose gradient came close to zero in some step. AdamW divides a gradient by its own size, so there the noise of
 * rounding, in PyTorch as here, becomes a good part of a whole step, and the trained value is not determined to more than that.
 */
class UndeterminedElements {
  readonly #aspects: AspectModules;
  readonly #marked = new Map<string, Record<string, Set<number>>>();

  constructor(aspects: AspectModules) {
    this.#aspects = aspects;
  }

  /** Marks elements by a step's gradients. */
  async note(view: string, gradients: FlatParameters, gpu: Gpu): Promise<void> {
    const marked = this.of(view);
    for (const [name, values] of Object.entries(await moduleGradients(this.#aspects, gradients, gpu))) {
      const rms = Math.sqrt(values.reduce((sum, g) => sum + g * g, 0) / values.length);
      values.forEach((g, i) => Math.abs(g) < NOISE * rms && (marked[name] ??= new Set()).add(i));
    }
  }

  /** Marked elements of a view by the names of its tensors. */
  of(view: string): Record<string, Set<number>> {
    const marked = this.#marked.get(view) ?? {};
    this.#marked.set(view, marked);
    return marked;
  }
}

/** Gradients by the names of the reference's tensors; that of the key bias is 0. */
async function moduleGradients(aspects: AspectModules, gradients: FlatParameters, gpu: Gpu): Promise<Record<string, Float32Array>> {
  const g = aspects.sections(gradients);
  const parts = await gpu.read(g.queries, g.wq, g.wk, g.wv, g.bq, g.bv, g.wo, g.bo);
  const [queries, wq, wk, wv, bq, bv, wo, bo] = parts.map((bytes) => new Float32Array(bytes.buffer));
  const join = (...pieces: Float32Array[]) => Float32Array.from(pieces.flatMap((piece) => [...piece]));
  return {
    q_view: queries,
    in_proj_weight: join(wq, wk, wv),
    in_proj_bias: join(bq, new Float32Array(bq.length), bv),
    "out_proj.weight": wo,
    "out_proj.bias": bo,
  };
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

function valuesOf(parameters: AspectParameters, view: string): Record<string, Float32Array> {
  const { inProjWeight, inProjBias, outProjWeight, outProjBias } = parameters.attention.get(view)!;
  return {
    q_view: parameters.queries.get(view)!,
    in_proj_weight: inProjWeight,
    in_proj_bias: inProjBias.slice(),
    "out_proj.weight": outProjWeight,
    "out_proj.bias": outProjBias,
  };
}

function parametersOf(folder: GoldenFolder, options: { views: string[]; tokens: number; prefix: string }): AspectParameters {
  const { views, tokens, prefix } = options;
  const result: AspectParameters = {
    views,
    tokens,
    hidden: folder.shape(`${prefix}/q_view.${views[0]}`)[1],
    queries: new Map(),
    attention: new Map(),
  };
  for (const view of views) {
    const numbers = (name: string) => folder.numbers(`${prefix}/${name}`) as Float32Array;
    const [inProjWeight, inProjBias, outProjWeight, outProjBias] = PARTS.map((part) => numbers(`cross_attn.${view}.${part}`));
    result.queries.set(view, numbers(`q_view.${view}`));
    result.attention.set(view, { inProjWeight, inProjBias, outProjWeight, outProjBias });
  }
  return result;
}

function finalAspects({ folder, model }: GoldenContext): AspectModules {
  const { views = [], num_query_tokens: tokens = 5 } = folder.case<GoldenTraining>("stage1") ?? {};
  return new AspectModules(model.gpu, parametersOf(folder, { views, tokens, prefix: "stage1/final" }));
}
