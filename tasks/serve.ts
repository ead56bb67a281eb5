/** `deno task serve`: a local page to try pictures on, and a JSON endpoint. */
import { findModelFolder } from "../config/find_model_folder.ts";
import { loadSettings } from "../config/schema.ts";
import { requireTrained } from "../pipeline/trained_files.ts";
import { loadAspects } from "../pipeline/aspect_attend.ts";
import { loadExamples } from "../pipeline/data/examples.ts";
import { loadPrompts } from "../pipeline/data/prompts.ts";
import { MaspError } from "../pipeline/errors.ts";
import { loadQwen2Vl } from "../pipeline/load.ts";
import { compareTuning, loadSoftPrompt } from "../pipeline/prompt_tune.ts";
import { type ExamplePicture, PageHandler } from "../pipeline/serve/handler.ts";
import { startPageServer } from "../pipeline/serve/page_server.ts";
import { PictureReader } from "../pipeline/serve/picture_reader.ts";
import { isLoopback } from "../pipeline/serve/request_guard.ts";
import { interruptSignal, numberFlag, openGpu, runCommand, textFlag } from "./command.ts";
import { printNotices } from "./run_hooks.ts";

/** Pictures of the test data that the page offers. */
const EXAMPLES = 9;

await runCommand({
  name: "serve",
  summary: "Opens a page on this machine: drop a picture and see the emotion, the scores, where each aspect looks and what it says.\n" +
    "Programs send pictures to /api/predict. Nothing that is sent is kept, and nothing leaves this machine.",
  flags: {
    config: { help: "settings file (config/eval.yaml)", value: "FILE" },
    baseline: { help: "plain Qwen2-VL, zero-shot: no aspects, no soft prompt" },
    plain: { help: "the soft prompt without aspect tokens" },
    port: { help: "port of the page (8000; 0: any free one)", value: "N" },
    host: { help: "address to listen on (127.0.0.1: this machine alone; 0.0.0.0: everyone who reaches this machine)", value: "ADDRESS" },
  },
  settings: "eval",
}, async (invocation) => {
  const { flags } = invocation;
  const port = numberFlag(invocation, "port") ?? 8000;
  if (!Number.isInteger(port) || port < 0 || port > 65535) throw new MaspError(`--port is ${port}; expected a whole number up to 65535`);
  const hostname = textFlag(invocation, "host") ?? "127.0.0.1";
  const baseline = flags.baseline === true;
  const plain = flags.plain === true;
  const settings = await loadSettings(textFlag(invocation, "config") ?? "config/eval.yaml", {
    stage: "eval",
    overrides: invocation.overrides,
  });
  printNotices(settings);
  await requireTrained(settings, { baseline, plain });
  const prompts = await loadPrompts(settings.promptsPath);
  const categories = settings.categories;
  const { seed, maxNewTokens, views } = settings;
  await using gpu = await openGpu(settings);
  using model = await loadQwen2Vl(gpu, await findModelFolder(settings.modelName), { weights: settings.weights });
  using stack = new DisposableStack();
  const aspects = baseline || plain ? undefined : stack.use(await loadAspects(model, settings.aspectPath, { views }));
  const prompt = baseline ? undefined : stack.use(await loadSoftPrompt(model, settings.softPromptPath, { layout: settings.layout }));
  const difference = prompt && compareTuning(prompt, aspects?.views ?? []);
  if (difference) console.log(difference);
  await using reader = new PictureReader(model, { aspects, prompt, prompts, categories, baseline, seed, maxNewTokens });
  const examples = await examplesOf(settings);
  if (examples.length) await reader.read(await Deno.readFile(examples[0].image), { maps: true }); // compiles what every picture needs
  const handler = new PageHandler({
    reader,
    examples,
    hostname,
    names: isLoopback(hostname) ? [] : [Deno.hostname()],
    about: {
      model: settings.modelName,
      method: baseline ? "base model, zero-shot" : plain ? "soft prompt without aspect tokens" : "MASP",
      gpu: gpu.name,
      software: gpu.software,
      views: aspects?.views ?? [],
      categories,
    },
    unavailable: () => gpu.lost,
    onFault: (error) => console.error(error),
  });
  const { promise: ended, resolve } = Promise.withResolvers<void>();
  interruptSignal("the picture that is being read").addEventListener("abort", () => resolve());
  await using server = startPageServer(handler, { hostname, port });
  if (!isLoopback(hostname)) console.log("Everyone who reaches this machine can send pictures; there is no password.");
  console.log(`\nThe page is at ${server.url}  (Ctrl-C ends it after the picture that is being read)`);
  console.log(`For programs: curl --data-binary @picture.jpg ${server.url}api/predict`);
  const lost = await Promise.race([ended, gpu.whenLost]);
  if (lost) throw new MaspError(`${lost} Start deno task serve again.`); // status 1: a supervisor starts it again
});

/** Some test pictures, one a class where that fits; none where the data is missing. */
async function examplesOf(settings: { dataPath: string; dataname: string; categories: string[] }): Promise<ExamplePicture[]> {
  const { dataPath, dataname, categories } = settings;
  try {
    return await loadExamples(dataPath, { split: "test", dataname, categories, limit: EXAMPLES });
  } catch (error) {
    if (!(error instanceof MaspError)) throw error;
    console.log(`No example pictures on the page: ${error.message}`);
    return [];
  }
}
