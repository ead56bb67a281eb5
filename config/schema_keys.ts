/** The keys of the settings files: what each may hold, and which stages use it. What a key means stands at the types in `schema_settings.ts`. */
import { z } from "zod";

/** What settings are for: the two stages of training, or an evaluation. */
export type Stage = "stage1" | "stage2" | "eval";

/** Reads a switch: YAML's true and false, and the words that PyYAML and command lines know. */
function asBoolean(value: unknown): unknown {
  if (typeof value !== "string") return value;
  const text = value.trim().toLowerCase();
  if (["true", "yes", "on", "1"].includes(text)) return true;
  return ["false", "no", "off", "0"].includes(text) ? false : value;
}

/** Reads numbers that stand as text: from the command line, or quoted in a file since PyYAML takes 1e-5 for text. */
function asNumber(value: unknown): unknown {
  return typeof value === "string" && /^\s*[-+]?(\d[\d_]*\.?\d*|\.\d+)(e[-+]?\d+)?\s*$/i.test(value)
    ? Number(value.replaceAll("_", ""))
    : value;
}

/** Reads a list that stands as text, separated by commas. */
function asList(value: unknown): unknown {
  return typeof value === "string" ? value.split(",").map((item) => item.trim()).filter((item) => item !== "") : value;
}

const text = z.string({ error: "a text" }).trim();
const trainedFile = text.refine((path) => /.\.(safetensors|pth|pt)$/i.test(path), "a file that ends in .safetensors, .pth or .pt");
const flag = z.preprocess(asBoolean, z.boolean({ error: "true or false" }));
const anything = z.unknown();

function number(expectation: string, isRight: (value: number) => boolean) {
  return z.preprocess(asNumber, z.number({ error: expectation }).refine((value) => Number.isFinite(value) && isRight(value), expectation));
}

function whole(least: number) {
  return number(`a whole number of at least ${least}`, (value) => Number.isSafeInteger(value) && value >= least);
}

function choice<const T extends readonly string[]>(...names: T) {
  return z.enum(names, { error: `one of ${names.join(", ")}` });
}

const views = z.preprocess(
  asList,
  z.array(z.string({ error: "a name" }).trim().min(1, "a name"), { error: "a list of names" }).min(1, "at least one name")
    .refine((names) => new Set(names).size === names.length, "names that differ"),
);

/** Names of optimizers in Hugging Face's Trainer, and what they are here. */
export const OPTIMIZERS = {
  adamw: "adamw",
  adamw_hf: "adamw",
  adamw_torch: "adamw",
  adamw_torch_fused: "adamw",
  paged_adamw: "adamw",
  paged_adamw_32bit: "adamw",
  adamw_8bit: "adamw_8bit",
  adamw_bnb_8bit: "adamw_8bit",
  paged_adamw_8bit: "adamw_8bit",
} as const;

const TRAIN: readonly Stage[] = ["stage1", "stage2"];
const ALL: readonly Stage[] = ["stage1", "stage2", "eval"];

/** Every key: its schema (whose messages say what is expected) and the stages that use it. Keys without a stage have no meaning here. */
export const KEYS = {
  // of the reference
  model_name: { schema: text, stages: ALL },
  prompt_json_path: { schema: text, stages: ALL },
  VIEW_NAMES: { schema: views, stages: ALL },
  seed: { schema: whole(0), stages: ALL },
  per_device_train_batch_size: { schema: whole(1), stages: TRAIN },
  gradient_accumulation_steps: { schema: whole(1), stages: TRAIN },
  num_train_epochs: { schema: whole(1), stages: TRAIN },
  learning_rate: { schema: number("a number above 0", (value) => value > 0), stages: TRAIN },
  warmup_ratio: { schema: number("a number from 0 to 1", (value) => value >= 0 && value <= 1), stages: TRAIN },
  lr_scheduler_type: { schema: choice("linear", "cosine", "constant", "constant_with_warmup"), stages: TRAIN },
  optim: {
    schema: z.preprocess((value) => value, choice(...Object.keys(OPTIMIZERS) as (keyof typeof OPTIMIZERS)[])).transform((name) =>
      OPTIMIZERS[name]
    ),
    stages: TRAIN,
  },
  weight_decay: { schema: number("a number of at least 0", (value) => value >= 0), stages: TRAIN },
  logging_steps: { schema: whole(1), stages: TRAIN },
  save_strategy: { schema: z.preprocess((value) => (value === false ? "no" : value), choice("no", "steps", "epoch")), stages: TRAIN },
  gradient_checkpointing: { schema: flag, stages: TRAIN },
  output_dir: { schema: text, stages: ALL },
  output_path: { schema: trainedFile, stages: TRAIN },
  aspect_data_path: { schema: text, stages: ["stage1"] },
  train_data_path: { schema: text, stages: ["stage2"] },
  test_data_path: { schema: text, stages: ["eval"] },
  dataname: { schema: text, stages: ["stage2", "eval"] },
  num_special_tokens_in_prefix: { schema: whole(1), stages: ["stage2"] },
  ckpt_path: { schema: text, stages: ["stage2", "eval"] },
  prefix_ckpt_path: { schema: text, stages: ["eval"] },
  eval_max_new_tokens: { schema: whole(1), stages: ["eval"] },
  // of the reference, without meaning here
  fp16: { schema: anything, stages: [] },
  bf16: { schema: anything, stages: [] },
  dataset_text_field: { schema: anything, stages: [] },
  dataset_kwargs: { schema: anything, stages: [] },
  remove_unused_columns: { schema: anything, stages: [] },
  // of this program
  weights: { schema: choice("auto", "f32", "bf16", "f16", "int8", "int4"), stages: ALL },
  gpu: { schema: choice("native", "dawn"), stages: ALL },
  precision: { schema: choice("auto", "f32", "f16"), stages: ALL },
  layout: { schema: choice("code", "paper"), stages: ["stage2", "eval"] },
  feature_cache: { schema: text, stages: ALL },
  skip_bad_images: { schema: flag, stages: ALL },
  num_view_tokens: { schema: whole(1), stages: ["stage1"] },
  group_views: { schema: whole(1), stages: ["stage1"] },
  offload_views: { schema: flag, stages: ["stage1"] },
  batch: { schema: whole(1), stages: ALL },
  save_steps: { schema: whole(0), stages: TRAIN },
  max_steps: {
    schema: number("a whole number of at least 1, or -1 for no limit", (n) => Number.isSafeInteger(n) && (n >= 1 || n === -1)),
    stages: TRAIN,
  },
  max_samples: { schema: whole(1), stages: ALL },
  max_train_samples: { schema: whole(1), stages: TRAIN },
  max_grad_norm: { schema: number("a number of at least 0", (value) => value >= 0), stages: TRAIN },
  adam_beta1: { schema: number("a number from 0 to below 1", (value) => value >= 0 && value < 1), stages: TRAIN },
  adam_beta2: { schema: number("a number from 0 to below 1", (value) => value >= 0 && value < 1), stages: TRAIN },
  adam_epsilon: { schema: number("a number above 0", (value) => value > 0), stages: TRAIN },
  max_eval_samples: { schema: whole(1), stages: ["eval"] },
} as const satisfies Record<string, { schema: z.ZodType; stages: readonly Stage[] }>;

/** Name of a key, as it stands in the files. */
export type Key = keyof typeof KEYS;

/** Checked values by key. */
export type Values = { -readonly [K in Key]?: z.output<(typeof KEYS)[K]["schema"]> };

/** Other names of keys. */
export const ALIASES: Readonly<Record<string, Key>> = { soft_prompt_path: "prefix_ckpt_path" };

/** The key that a name in a file or a flag means: `learning_rate`, `--learning-rate` and `--view-names` alike. */
export function keyOf(name: string): Key | undefined {
  const plain = name.replace(/^--/, "").replaceAll("-", "_");
  const key = [...Object.keys(KEYS), ...Object.keys(ALIASES)].find((known) => known.toLowerCase() === plain.toLowerCase());
  return key !== undefined && Object.hasOwn(ALIASES, key) ? ALIASES[key] : key as Key | undefined;
}
