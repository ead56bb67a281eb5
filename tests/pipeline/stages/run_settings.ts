/** Settings of short runs on the demo's model and pictures, as the tasks read them. */
import { fromFileUrl, join } from "@std/path";
import { loadSettings, type SettingsByStage, type Stage } from "../../../config/schema.ts";
import { DEMO, DEMO_DATA, DEMO_MODEL } from "./support.ts";

const CONFIG = fromFileUrl(new URL("../../../config/demo.yaml", import.meta.url));

/** The demo's settings with these flags, weights as they are taken for a software adapter, on 8 pictures, with a checkpoint every 2 and a line every 3 steps. */
export function runSettings<S extends Stage>(
  stage: S,
  flags: Record<string, string | boolean> & { output_dir: string },
): Promise<SettingsByStage[S]> {
  const data =
    { stage1: { aspect_data_path: DEMO_DATA }, stage2: { train_data_path: DEMO_DATA }, eval: { test_data_path: DEMO_DATA } }[stage];
  const training = { save_strategy: "steps", save_steps: "2", logging_steps: "3", max_train_samples: "8" };
  const overrides = {
    model_name: DEMO_MODEL,
    prompt_json_path: join(DEMO, "prompts.json"),
    weights: "f32",
    ...data,
    ...(stage === "eval" ? { max_eval_samples: "4" } : training),
    ...flags,
  };
  return loadSettings(CONFIG, { stage, overrides });
}
