/** Golden cases of the evaluation, and the reference's files. */
import { Answerer } from "../answerer.ts";
import { readAspectFile } from "../checkpoint/aspect_file.ts";
import { promptToken, readSoftPromptFile } from "../checkpoint/soft_prompt_file.ts";
import { FeatureStore } from "../encode.ts";
import { type Chat, chatText, maspSequence } from "../masp_sequence.ts";
import { PictureInputs } from "../picture_inputs.ts";
import { predictionOf } from "../report/metrics.ts";
import { loadSoftPrompt, type SoftPrompt } from "../soft_prompt.ts";
import { encodePrompt } from "../text/prompt_tokens.ts";
import { finalAspects, parametersOf, valuesOf } from "./aspect_values.ts";
import type { Place } from "./compare_text.ts";
import type { GoldenPrediction, GoldenTraining } from "./golden_folder.ts";
import { type GoldenContext, logitsOf } from "./model_cases.ts";

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
