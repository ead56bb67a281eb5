/** What settings mean. Every property names the key of the files that it comes from. Paths are used as they stand: from the working folder. */
import type { WeightType } from "../kernels/linear/matrix.ts";
import type { PromptLayout } from "../pipeline/masp_sequence.ts";
import type { AdamWSettings } from "../pipeline/train/adamw_settings.ts";
import type { ScheduleType } from "../pipeline/train/schedule.ts";

/** Settings that training and evaluation share. */
export interface CommonSettings {
  /** `model_name`: folder of a Qwen2-VL checkpoint, or its name on Hugging Face, looked for in `weights/` and in its cache. */
  modelName: string;
  /**
   * `weights`: number type of the base model's matrices on the GPU; `auto` (the default) as in the checkpoint. `int8` and `int4` take a half and a
   * third of the memory of bf16: they are rounded while loading, in groups of 128 with a scale each.
   */
  weights: "auto" | WeightType;
  /** `gpu`: which WebGPU computes: `native`, Deno's own (the default), or `dawn`, which `deno task install-dawn` installs. */
  gpu: "native" | "dawn";
  /**
   * `precision`: whether products with frozen weights may round their factors to f16, which is off by about 1e-3 of a product and much faster on
   * most GPUs: `f16`, `f32`, or `auto`, f16 on hardware (the default). Weights that are kept in f32 always have f32 products.
   */
  precision: "auto" | "f32" | "f16";
  /** `prompt_json_path`: questions by view and for the emotion. Default: the project's `config/prompts.json`. */
  promptsPath: string;
  /** `VIEW_NAMES`: the aspects, in order. Default: the six of the paper. */
  views: string[];
  /** `seed` of everything drawn at random. Default: 3407, the reference's. */
  seed: number;
  /**
   * Folder of the data set: `aspect_data_path` in stage 1 (its training part is used, with annotations), `train_data_path` in stage 2 (its training
   * part), `test_data_path` in an evaluation (its test part).
   */
  dataPath: string;
  /** At most this many pictures: `max_train_samples` or `max_eval_samples`, or `max_samples` for whichever of them is absent. Default: all. */
  maxSamples?: number;
  /** `feature_cache`: folder in which visual features are kept from run to run. Default: none. */
  featureCache?: string;
  /** `skip_bad_images`: leave out pictures that cannot be decoded instead of stopping. Default: false. */
  skipBadImages: boolean;
  /** `batch`: pictures that an evaluation, or the encoding of a data set, computes in one pass. Default: 8. */
  batch?: number;
  /** `output_dir`: folder of everything that the run writes. Default: `outputs/stage1`, `outputs/stage2` or `outputs/eval`. */
  outputDir: string;
  /** Keys that were given but have no meaning here, for one notice. */
  ignored: string[];
  /** Other things that a user should know, a line each. */
  notices: string[];
  /** Every setting that counts, with its default where none was given, under the names of the files: what a run writes down. */
  values: Readonly<Record<string, unknown>>;
}

/** How a run goes on, by the names of the pipeline's `TrainingOptions`. */
export interface RunSettings {
  /** `num_train_epochs`. Default: 3 in stage 1, 1 in stage 2. */
  epochs: number;
  /** `learning_rate`, the highest. Default: 1e-5 in stage 1, 5e-6 in stage 2. */
  learningRate: number;
  /** `warmup_ratio`: part of the steps in which the rate rises. Default: 0.03. */
  warmupRatio: number;
  /** `lr_scheduler_type`. Default: linear. */
  schedule: ScheduleType;
  /** `per_device_train_batch_size`. Default: 1. */
  batchSize: number;
  /** `gradient_accumulation_steps`. Default: 1. */
  gradientAccumulation: number;
  /** `max_steps`: ends after so many steps. Default: no limit (-1). */
  maxSteps?: number;
}

/** Settings of both stages of training. */
export interface TrainingSettings extends CommonSettings {
  /** Length, rate and size of the steps. */
  run: RunSettings;
  /**
   * `optim` (with or without 8-bit moments; default `adamw_8bit`), `weight_decay` (0.01), `max_grad_norm` (1; 0 turns clipping off), `adam_beta1`
   * (0.9), `adam_beta2` (0.999), `adam_epsilon` (1e-8).
   */
  adamW: Required<AdamWSettings>;
  /** `gradient_checkpointing`: compute each layer again in the backward pass, for less memory. Default: false. */
  recompute: boolean;
  /** `logging_steps`: a line of metrics every so many steps. Default: 16. */
  loggingSteps: number;
  /**
   * A checkpoint every so many steps, or after every pass over the data; 0: at the end alone. From `save_strategy` (`steps`, the default, `epoch` or
   * `no`) and `save_steps` (default 1000), which goes before `no` when both are given.
   */
  saveEvery: number | "epoch";
  /**
   * `output_path`: file of what was trained. `.safetensors`, or the reference's `.pth` and `.pt`. Default: `aspect.safetensors` or
   * `soft_prompt.safetensors` in `output_dir`; when a flag names another `output_dir`, the file moves with it.
   */
  outputPath: string;
}

/** Settings of stage 1. */
export interface Stage1Settings extends TrainingSettings {
  /** Which these are. */
  stage: "stage1";
  /** `num_view_tokens`: query vectors of a view. Default: 5. */
  viewTokens: number;
  /**
   * `group_views`: steps of different views that are computed in one pass at most, where a step has one sample. Default: as many as there
   * are views and as fit into memory.
   */
  groupViews?: number;
  /**
   * `offload_views`: keep one view's parameters and moments at a time on the GPU and the others' in host memory; the result is the same.
   * Default: false.
   */
  offloadViews: boolean;
}

/** Settings that need what was trained before. */
export interface LaterSettings {
  /** `dataname`: name of the data set, which decides on its categories. */
  dataname: string;
  /** `ckpt_path`: aspect modules of stage 1. Default: what stage 1 of the same file writes, or `outputs/stage1/aspect.safetensors`. */
  aspectPath: string;
  /** `layout`: where the prompt stands: `code` (default; twice, as in the published program) or `paper` (once, behind the picture). */
  layout: PromptLayout;
}

/** Settings of stage 2. */
export interface Stage2Settings extends TrainingSettings, LaterSettings {
  /** Which these are. */
  stage: "stage2";
  /** `num_special_tokens_in_prefix`: tokens of the soft prompt. Default: 32. */
  promptTokens: number;
}

/** Settings of an evaluation. */
export interface EvalSettings extends CommonSettings, LaterSettings {
  /** Which these are. */
  stage: "eval";
  /**
   * `prefix_ckpt_path` or `soft_prompt_path`: the soft prompt. Default: what stage 2 of the same file writes, or
   * `outputs/stage2/soft_prompt.safetensors`.
   */
  softPromptPath: string;
  /** `eval_max_new_tokens`: tokens that are generated at most. Default: 4. */
  maxNewTokens: number;
}

/** Settings by stage. */
export interface SettingsByStage {
  /** Training of the aspect modules. */
  stage1: Stage1Settings;
  /** Tuning of the soft prompt. */
  stage2: Stage2Settings;
  /** Evaluation. */
  eval: EvalSettings;
}
