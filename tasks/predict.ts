/** `deno task predict PICTURE…`: emotion, scores and aspects of single pictures. */
import { exists } from "@std/fs";
import { findModelFolder } from "../config/find_model_folder.ts";
import { loadSettings } from "../config/schema.ts";
import { requireTrained } from "../pipeline/trained_files.ts";
import { loadAspects } from "../pipeline/aspect_attend.ts";
import { loadPrompts } from "../pipeline/data/prompts.ts";
import { FeatureStore } from "../pipeline/encode.ts";
import { MaspError } from "../pipeline/errors.ts";
import { predict } from "../pipeline/evaluate.ts";
import { loadQwen2Vl } from "../pipeline/load.ts";
import { loadSoftPrompt } from "../pipeline/prompt_tune.ts";
import { openGpu, runCommand, textFlag } from "./command.ts";
import { printNotices } from "./run_hooks.ts";

await runCommand({
  name: "predict",
  args: "PICTURE…",
  summary: "Says which emotion a picture evokes, the probability of every category, and what each aspect's tokens say in words.",
  flags: {
    config: { help: "settings file (config/eval.yaml)", value: "FILE" },
    baseline: { help: "plain Qwen2-VL, zero-shot" },
    json: { help: "print JSON, one line a picture" },
  },
  settings: "eval",
}, async (invocation) => {
  const { args, flags } = invocation;
  if (args.length === 0) {
    throw new MaspError("Which picture? Name one or several files: deno task predict PICTURE… (deno task predict --help tells more)");
  }
  for (const image of args) if (!await exists(image, { isFile: true })) throw new MaspError(`There is no picture "${image}".`);
  const settings = await loadSettings(textFlag(invocation, "config") ?? "config/eval.yaml", {
    stage: "eval",
    overrides: invocation.overrides,
  });
  if (!flags.json) printNotices(settings);
  await requireTrained(settings, { baseline: flags.baseline === true });
  await using gpu = await openGpu({ ...settings, quiet: flags.json === true });
  using model = await loadQwen2Vl(gpu, await findModelFolder(settings.modelName), { weights: settings.weights });
  await using store = new FeatureStore(model, { cacheDir: settings.featureCache, onWarning: (text) => console.error(text) });
  using stack = new DisposableStack();
  const aspects = flags.baseline ? undefined : stack.use(await loadAspects(model, settings.aspectPath, { views: settings.views }));
  const prompt = flags.baseline ? undefined : stack.use(await loadSoftPrompt(model, settings.softPromptPath, { layout: settings.layout }));
  const prompts = await loadPrompts(settings.promptsPath);
  const options = {
    aspects,
    prompt,
    prompts,
    store,
    baseline: flags.baseline === true,
    categories: settings.categories,
    seed: settings.seed,
    maxNewTokens: settings.maxNewTokens,
  };
  for (const image of args) {
    const reading = await predict(model, image, options);
    if (flags.json) {
      console.log(JSON.stringify({ image, ...reading }));
      continue;
    }
    console.log(`\n${image}: ${reading.emotion} (the model says "${reading.text.trim()}")`);
    for (const [emotion, score] of Object.entries(reading.scores)) {
      console.log(`  ${emotion.padEnd(14)} ${(100 * score).toFixed(1).padStart(5)} %  ${"█".repeat(Math.round(30 * score))}`);
    }
    for (const [view, text] of Object.entries(reading.aspects)) console.log(`  ${view.replaceAll("_", " ")}: ${text.trim()}`);
  }
});
