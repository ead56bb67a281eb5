/** Checked values by key → the typed settings of a stage. */
import { categoriesOf } from "../pipeline/data/categories.ts";
import { NO_CACHE, SAVE_STEPS } from "./schema_defaults.ts";
import type { Stage, Values } from "./schema_keys.ts";
import type { CommonSettings, SettingsByStage, TrainingSettings } from "./schema_settings.ts";

/** What goes into the settings beside the values. */
type Remarks = Pick<CommonSettings, "ignored" | "notices" | "values">;

/** Values after defaults, required keys and paths were filled in. */
type Filled = { [K in keyof Values]-?: NonNullable<Values[K]> };

/** How each stage's settings are made; every value that has a default or is required must be there. */
export const CONVERTERS: { [S in Stage]: (values: Values, remarks: Remarks) => SettingsByStage[S] } = {
  stage1: (values, remarks) => ({
    stage: "stage1",
    ...training(values as Filled, { ...remarks, dataPath: values.aspect_data_path! }),
    viewTokens: values.num_view_tokens!,
    ...(values.group_views !== undefined && { groupViews: values.group_views }),
    offloadViews: values.offload_views!,
  }),
  stage2: (values, remarks) => ({
    stage: "stage2",
    ...training(values as Filled, { ...remarks, dataPath: values.train_data_path! }),
    ...labels(values),
    aspectPath: values.ckpt_path!,
    layout: values.layout!,
    promptTokens: values.num_special_tokens_in_prefix!,
  }),
  eval: (values, remarks) => ({
    stage: "eval",
    ...common(values as Filled, {
      ...remarks,
      dataPath: values.test_data_path!,
      maxSamples: values.max_eval_samples ?? values.max_samples,
    }),
    ...labels(values),
    aspectPath: values.ckpt_path!,
    softPromptPath: values.prefix_ckpt_path!,
    layout: values.layout!,
    maxNewTokens: values.eval_max_new_tokens!,
  }),
};

/** The data set's name and its categories. */
function labels({ dataname, categories }: Values): { dataname: string; categories: string[] } {
  return { dataname: dataname ?? "own categories", categories: [...categories ?? categoriesOf(dataname!)] };
}

function common(values: Filled, rest: Remarks & Pick<CommonSettings, "dataPath" | "maxSamples">): CommonSettings {
  const { maxSamples, ...others } = rest;
  return {
    ...others,
    modelName: values.model_name,
    weights: values.weights,
    gpu: values.gpu,
    precision: values.precision,
    promptsPath: values.prompt_json_path,
    views: [...values.VIEW_NAMES],
    seed: values.seed,
    ...(maxSamples !== undefined && { maxSamples }),
    ...(values.feature_cache && values.feature_cache !== NO_CACHE && { featureCache: values.feature_cache }),
    skipBadImages: values.skip_bad_images,
    ...((values as Values).batch !== undefined && { batch: (values as Values).batch }),
    outputDir: values.output_dir,
  };
}

function training(values: Filled, rest: Remarks & Pick<CommonSettings, "dataPath">): TrainingSettings {
  const { max_steps: maxSteps, max_train_samples, max_samples } = values as Values;
  return {
    ...common(values, { ...rest, maxSamples: max_train_samples ?? max_samples }),
    run: {
      epochs: values.num_train_epochs,
      learningRate: values.learning_rate,
      warmupRatio: values.warmup_ratio,
      schedule: values.lr_scheduler_type,
      batchSize: values.per_device_train_batch_size,
      gradientAccumulation: values.gradient_accumulation_steps,
      ...(maxSteps !== undefined && maxSteps > 0 && { maxSteps }),
    },
    adamW: {
      betas: [values.adam_beta1, values.adam_beta2],
      eps: values.adam_epsilon,
      weightDecay: values.weight_decay,
      maxNorm: values.max_grad_norm,
      eightBit: values.optim === "adamw_8bit",
    },
    recompute: values.gradient_checkpointing,
    loggingSteps: values.logging_steps,
    saveEvery: saveEvery(values),
    outputPath: values.output_path,
  };
}

function saveEvery({ save_strategy: strategy, save_steps: steps }: Values): number | "epoch" {
  if (strategy === "epoch") return "epoch";
  return steps ?? (strategy === "no" ? 0 : SAVE_STEPS);
}
