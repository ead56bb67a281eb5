import { fromFileUrl } from "@std/path";
import type { Key, Stage, Values } from "./schema_keys.ts";

/** The project's own questions. */
export const PROMPTS_PATH: string = fromFileUrl(new URL("./prompts.json", import.meta.url));

const COMMON: Values = {
  prompt_json_path: PROMPTS_PATH,
  VIEW_NAMES: ["facial_expression", "object", "scene", "human_action", "brightness", "colorfulness"],
  seed: 3407,
  weights: "auto",
  gpu: "native",
  precision: "auto",
  skip_bad_images: false,
};

const TRAINING: Values = {
  ...COMMON,
  per_device_train_batch_size: 1,
  gradient_accumulation_steps: 1,
  warmup_ratio: 0.03,
  lr_scheduler_type: "linear",
  optim: "adamw_8bit",
  weight_decay: 0.01,
  max_grad_norm: 1,
  adam_beta1: 0.9,
  adam_beta2: 0.999,
  adam_epsilon: 1e-8,
  logging_steps: 16,
  gradient_checkpointing: false,
};

/** What holds where nothing is given: the reference's values. */
export const DEFAULTS: Readonly<Record<Stage, Values>> = {
  stage1: { ...TRAINING, num_train_epochs: 3, learning_rate: 1e-5, num_view_tokens: 5, offload_views: false, output_dir: "outputs/stage1" },
  stage2: {
    ...TRAINING,
    num_train_epochs: 1,
    learning_rate: 5e-6,
    num_special_tokens_in_prefix: 32,
    layout: "code",
    output_dir: "outputs/stage2",
  },
  eval: { ...COMMON, layout: "code", eval_max_new_tokens: 4, output_dir: "outputs/eval" },
};

/** Where `deno task encode` keeps visual features, and every stage looks for them. */
export const FEATURE_CACHE = "outputs/features";

/** What `feature_cache` is where no features shall be kept. */
export const NO_CACHE = "none";

/** A checkpoint every so many steps. */
export const SAVE_STEPS = 1000;

/** Keys without which a stage cannot run. */
export const REQUIRED: Readonly<Record<Stage, readonly Key[]>> = {
  stage1: ["model_name", "aspect_data_path"],
  stage2: ["model_name", "train_data_path", "dataname"],
  eval: ["model_name", "test_data_path", "dataname"],
};

/** Names of the files of what was trained. */
export const OUTPUT_FILES = { stage1: "aspect.safetensors", stage2: "soft_prompt.safetensors" } as const;
