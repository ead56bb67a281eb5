/**
 * MASP on Deno: emotion recognition with a frozen Qwen2-VL, every heavy computation a WGSL compute shader on WebGPU.
 *
 * The system of "MASP: Multi-Aspect guided emotion reasoning with Soft Prompt tuning in vision-language models" (AAAI 2026): stage 1 learns,
 * for each aspect of a picture, query vectors and a cross-attention module; stage 2 learns the embedding rows of new prompt tokens; the
 * evaluation asks for the emotion and counts the right answers.
 *
 * ```ts no-eval
 * import { categoriesOf, createAspects, createSoftPrompt, evaluate, loadExamples, loadPrompts, loadQwen2Vl, requestGpu, trainAspects, tunePrompt } from "./mod.ts";
 *
 * await using gpu = await requestGpu();
 * using model = await loadQwen2Vl(gpu, "weights/Qwen2-VL-7B-Instruct");
 * const prompts = await loadPrompts("config/prompts.json");
 * const categories = categoriesOf("EmoSet");
 *
 * using aspects = createAspects(model, { tokens: 5, seed: 3407 });
 * const annotated = await loadExamples("data/emoset", { split: "train" });
 * for await (const { step, loss } of trainAspects(model, aspects, { examples: annotated, prompts })) {
 *   if (step % 16 === 0) console.log(step, loss);
 * }
 * await aspects.save("outputs/stage1/aspect.safetensors");
 *
 * using prompt = createSoftPrompt(model);
 * const examples = await loadExamples("data/emotion6", { split: "train", dataname: "Emotion6" });
 * for await (const { step, loss } of tunePrompt(model, prompt, { examples, prompts, categories, aspects })) console.log(step, loss);
 *
 * const test = await loadExamples("data/emotion6", { split: "test", dataname: "Emotion6" });
 * const { metrics } = await evaluate(model, { examples: test, prompts, categories, aspects, prompt });
 * console.log(metrics.accuracy);
 * ```
 *
 * @module
 */
export { Gpu, GpuError, requestGpu, type RequestGpuOptions } from "./kernels/gpu.ts";
export { Plan } from "./kernels/plan.ts";
export { type DType, Tensor } from "./kernels/tensor.ts";
export { MaspError } from "./pipeline/errors.ts";
export { loadQwen2Vl, type LoadQwen2VlOptions, type Qwen2Vl } from "./pipeline/load.ts";
export { FeatureStore, type FeatureStoreOptions, type VisualFeatures } from "./pipeline/encode.ts";
export { AspectModules } from "./pipeline/aspects/aspect_modules.ts";
export {
  createAspects,
  type CreateAspectsOptions,
  loadAspects,
  trainAspects,
  type TrainAspectsOptions,
  VIEWS,
} from "./pipeline/aspect_attend.ts";
export { type AspectAccuracy, aspectAccuracy } from "./pipeline/aspects/aspect_accuracy.ts";
export {
  createSoftPrompt,
  loadSoftPrompt,
  SoftPrompt,
  type SoftPromptOptions,
  tunePrompt,
  type TunePromptOptions,
} from "./pipeline/prompt_tune.ts";
export { evaluate, type EvaluateOptions, type Evaluation, type PictureReading, predict, type Prediction } from "./pipeline/evaluate.ts";
export { type TrainingOptions, type TrainingStep } from "./pipeline/train/training_run.ts";
export { type Example, loadExamples, type LoadExamplesOptions, type Split } from "./pipeline/data/examples.ts";
export { loadPrompts, type Prompts } from "./pipeline/data/prompts.ts";
export { categoriesOf } from "./pipeline/data/categories.ts";
export { type EmotionMetrics, emotionMetrics, predictionOf } from "./pipeline/report/metrics.ts";
export { checkGolden, type CheckGoldenOptions, type GoldenRow } from "./pipeline/golden_check.ts";
