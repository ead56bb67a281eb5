/** Prompts that cannot be made. */
import { assertEquals, assertRejects } from "@std/assert";
import { writeSoftPromptFile } from "../../pipeline/checkpoint/soft_prompt_file.ts";
import { MaspError } from "../../pipeline/errors.ts";
import { loadSoftPrompt } from "../../pipeline/soft_prompt.ts";
import { modelTest, temporaryFolder } from "./stages/support.ts";

modelTest("soft prompt: where it cannot be made, nothing of it stays on the GPU", async (model) => {
  using dir = temporaryFolder();
  const { gpu, network: { config: { text: { hidden } } } } = model;
  const path = dir.file("prompt.safetensors");
  const tokens = ["<|im_end|>", "<|reserved_special_token_0|>"]; // whose ids do not follow each other
  await writeSoftPromptFile(path, { rows: new Float32Array(2 * hidden), count: 2, hidden, tokens });
  const before = gpu.counters.bytes;
  await assertRejects(() => loadSoftPrompt(model, path), MaspError, "ids that do not follow each other");
  assertEquals(gpu.counters.bytes, before);
});
