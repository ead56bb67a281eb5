/** The 7B model with weights of 4 bits on a GPU of 8 GiB, counted without loading anything. */
import { assertGreater, assertLess } from "@std/assert";
import { join } from "@std/path";
import { loadSettings, type Stage } from "../../config/schema.ts";
import { estimateMemory } from "../../pipeline/memory_estimate.ts";
import { publishedConfig } from "../bench/checkpoint/published_config.ts";
import { writeSparseCheckpoint } from "./load/sparse_checkpoint.ts";
import { DEMO, deviceTest, temporaryFolder } from "./stages/support.ts";

deviceTest("int4: both stages and the evaluation of the 7B model fit into 8 GiB with pictures of 1024×768", async (gpu) => {
  using dir = temporaryFolder();
  await writeSparseCheckpoint(dir.path, publishedConfig("7b"));
  const totalOf = async (stage: Stage, weights: string) => {
    const file = join(DEMO, "..", "config", stage === "eval" ? "eval.yaml" : "train.yaml");
    const recompute: Record<string, string> = stage === "eval" ? {} : { gradient_checkpointing: "true" };
    const overrides = { model_name: dir.path, weights, prompt_json_path: join(DEMO, "prompts.json"), ...recompute };
    const settings = await loadSettings(file, { stage, overrides });
    return (await estimateMemory(gpu, settings, { dir: dir.path, pictures: [[1024, 768]] })).total / 2 ** 30;
  };
  for (const stage of ["stage1", "stage2", "eval"] as const) assertLess(await totalOf(stage, "int4"), 8, stage);
  assertGreater(await totalOf("eval", "bf16"), 16);
});
