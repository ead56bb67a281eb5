/** Golden cases of stage 2. D hidden, L tokens. */
import { FeatureStore } from "../encode.ts";
import { maspSequence } from "../masp_sequence.ts";
import { PictureInputs } from "../picture_inputs.ts";
import { createSoftPrompt } from "../soft_prompt.ts";
import { PromptTrainer } from "../train/prompt_trainer.ts";
import { learningRateAt } from "../train/schedule.ts";
import { finalAspects } from "./aspect_values.ts";
import { compareText } from "./compare_text.ts";
import type { GoldenTraining } from "./golden_folder.ts";
import { type GoldenContext, logitsOf } from "./model_cases.ts";

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
