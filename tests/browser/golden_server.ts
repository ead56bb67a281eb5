/** The page with the model of the golden values, as `deno task serve` would serve it. */
import { join } from "@std/path";
import { requestGpu } from "../../kernels/gpu.ts";
import { loadAspects } from "../../pipeline/aspect_attend.ts";
import { loadExamples } from "../../pipeline/data/examples.ts";
import { loadPrompts } from "../../pipeline/data/prompts.ts";
import { loadQwen2Vl } from "../../pipeline/load.ts";
import { loadSoftPrompt } from "../../pipeline/prompt_tune.ts";
import { PageHandler } from "../../pipeline/serve/handler.ts";
import { type PageServer, startPageServer } from "../../pipeline/serve/page_server.ts";
import { PictureReader } from "../../pipeline/serve/picture_reader.ts";
import { GOLDEN, PICTURE } from "../serve/support.ts";

/** Starts it on a free port. */
export async function startGoldenServer(): Promise<PageServer> {
  const gpu = await requestGpu();
  const model = await loadQwen2Vl(gpu, join(GOLDEN, "model"));
  const aspects = await loadAspects(model, join(GOLDEN, "aspect.pth"));
  const prompt = await loadSoftPrompt(model, join(GOLDEN, "soft_prompt.pt"), { layout: "code" });
  const prompts = await loadPrompts(join(GOLDEN, "prompts.json"));
  const categories = ["amusement", "anger", "awe", "fear"];
  const reader = new PictureReader(model, { aspects, prompt, prompts, categories });
  await reader.read(await Deno.readFile(PICTURE), { maps: true }); // compiles what every picture needs
  const examples = await loadExamples(join(GOLDEN, "emoset"), { split: "test", limit: 4 });
  const about = { model: "tests/golden/model", method: "MASP", gpu: gpu.name, software: gpu.software, views: aspects.views, categories };
  const server = startPageServer(new PageHandler({ reader, about, examples, limits: { bytes: 5e6, pixels: 100e6 } }), { port: 0 });
  return {
    url: server.url,
    async [Symbol.asyncDispose]() {
      await server[Symbol.asyncDispose]();
      await reader[Symbol.asyncDispose]();
      for (const part of [prompt, aspects, model]) part[Symbol.dispose]();
      await gpu[Symbol.asyncDispose]();
    },
  };
}
