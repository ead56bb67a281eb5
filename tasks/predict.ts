/** `deno task predict PICTURE…`: emotion, scores and aspects of single pictures. */
import { exists } from "@std/fs";
import { findModelFolder } from "../config/find_model_folder.ts";
import { loadSettings } from "../config/schema.ts";
import { requireTrained } from "../pipeline/trained_files.ts";
import { loadAspects } from "../pipeline/aspect_attend.ts";
import { loadPrompts } from "../pipeline/data/prompts.ts";
import { FeatureStore } from "../pipeline/encode.ts";
import { MaspError } from "../pipeline/errors.ts";
import { type PictureReading, predict } from "../pipeline/evaluate.ts";
import { loadQwen2Vl } from "../pipeline/load.ts";
import { compareTuning, loadSoftPrompt } from "../pipeline/prompt_tune.ts";
import { openGpu, runCommand, textFlag } from "./command.ts";
import { printNotices } from "./run_hooks.ts";

await runCommand({
  name: "predict",
  args: "PICTURE…",
  summary: "Says which emotion a picture evokes, the probability of every category, and what each aspect's tokens say in words.\n" +
    "A picture that cannot be read is named, the others are read, and the exit status is 1.",
  flags: {
    config: { help: "settings file (config/eval.yaml)", value: "FILE" },
    baseline: { help: "plain Qwen2-VL, zero-shot: no aspects, no soft prompt" },
    plain: { help: "the soft prompt without aspect tokens" },
    json: { help: "print JSON, one line a picture" },
  },
  settings: "eval",
}, async (invocation) => {
  const { args, flags } = invocation;
  if (args.length === 0) {
    throw new MaspError("Which picture? Name one or several files: deno task predict PICTURE… (deno task predict --help tells more)");
  }
  const pictures = await Array.fromAsync(args, async (image) => ({ image, there: await exists(image, { isFile: true }) }));
  if (!pictures.some(({ there }) => there)) { // nothing large is loaded for them
    throw new MaspError(pictures.map(({ image }) => `There is no picture "${image}".`).join("\n"));
  }
  const settings = await loadSettings(textFlag(invocation, "config") ?? "config/eval.yaml", {
    stage: "eval",
    overrides: invocation.overrides,
  });
  if (!flags.json) printNotices(settings);
  const baseline = flags.baseline === true;
  const plain = flags.plain === true;
  await requireTrained(settings, { baseline, plain });
  await using gpu = await openGpu({ ...settings, quiet: flags.json === true });
  using model = await loadQwen2Vl(gpu, await findModelFolder(settings.modelName), { weights: settings.weights });
  await using store = new FeatureStore(model, { cacheDir: settings.featureCache, onWarning: (text) => console.error(text) });
  using stack = new DisposableStack();
  const aspects = baseline || plain ? undefined : stack.use(await loadAspects(model, settings.aspectPath, { views: settings.views }));
  const prompt = baseline ? undefined : stack.use(await loadSoftPrompt(model, settings.softPromptPath, { layout: settings.layout }));
  const difference = prompt && compareTuning(prompt, aspects?.views ?? []);
  if (difference) console.error(difference);
  const prompts = await loadPrompts(settings.promptsPath);
  const options = {
    aspects,
    prompt,
    prompts,
    store,
    baseline,
    categories: settings.categories,
    seed: settings.seed,
    maxNewTokens: settings.maxNewTokens,
  };
  const unreadable: string[] = [];
  for (const { image, there } of pictures) {
    try {
      if (!there) throw new MaspError(`There is no picture "${image}".`);
      const reading = await predict(model, image, options);
      if (flags.json) console.log(JSON.stringify({ image, ...reading }));
      else print(image, reading);
    } catch (error) {
      if (!(error instanceof MaspError)) throw error;
      unreadable.push(image);
      if (flags.json) console.log(JSON.stringify({ image, error: error.message }));
      console.error(flags.json ? error.message : `\n${error.message}`);
    }
  }
  if (unreadable.length === 0) return;
  if (args.length > 1) console.error(`\n${unreadable.length} of ${args.length} pictures were not read: ${unreadable.join(", ")}`);
  Deno.exitCode = 1;
});

function print(image: string, { emotion, text, scores, aspects }: PictureReading): void {
  console.log(`\n${image}: ${emotion} (the model says "${text.trim()}")`);
  for (const [emotion, score] of Object.entries(scores)) {
    console.log(`  ${emotion.padEnd(14)} ${(100 * score).toFixed(1).padStart(5)} %  ${"█".repeat(Math.round(30 * score))}`);
  }
  for (const [view, text] of Object.entries(aspects)) console.log(`  ${view.replaceAll("_", " ")}: ${text.trim()}`);
}
