/**
 * MASP on Deno: emotion recognition with a frozen Qwen2-VL, every heavy computation a WGSL compute shader on WebGPU.
 *
 * The system of "MASP: Multi-Aspect guided emotion reasoning with Soft Prompt tuning in vision-language models" (AAAI 2026): stage 1 learns,
 * for each aspect of a picture, query vectors and a cross-attention module; stage 2 learns the embedding rows of new prompt tokens; the
 * evaluation asks for the emotion and counts the right answers.
 *
 * ```ts ignore
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
export { Gpu, type GpuCounters, GpuError, type GpuMark, requestGpu, type RequestGpuOptions } from "./kernels/gpu.ts";
export { openDawn, type OpenDawnOptions } from "./kernels/dawn/dawn.ts";
export type { ScratchPool } from "./kernels/arena.ts";
export type { Kernel, KernelSource } from "./kernels/kernel.ts";
export type { Matrix } from "./kernels/linear/matrix.ts";
export type { Commands } from "./kernels/commands.ts";
export { type Dispatch, Plan, type ProfileEntry } from "./kernels/plan.ts";
export { type DType, type Storage, Tensor } from "./kernels/tensor.ts";
export type { TensorCopy } from "./kernels/transfer.ts";
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
  type AttentionMap,
  AttentionMapper,
  type AttentionMapperOptions,
  attentionMaps,
  type HeatmapInput,
  type HeatmapOptions,
  heatmapPng,
} from "./pipeline/aspects/attention_maps.ts";
export {
  createSoftPrompt,
  loadSoftPrompt,
  SoftPrompt,
  type SoftPromptOptions,
  tunePrompt,
  type TunePromptOptions,
} from "./pipeline/prompt_tune.ts";
export { evaluate, type EvaluateOptions, type Evaluation, type PictureReading, predict, type Prediction } from "./pipeline/evaluate.ts";
export { type TrainingBeginning, type TrainingOptions, type TrainingStep } from "./pipeline/train/training_run.ts";
export { type Example, loadExamples, type LoadExamplesOptions, type Split } from "./pipeline/data/examples.ts";
export { loadPrompts, type Prompts } from "./pipeline/data/prompts.ts";
export { categoriesOf } from "./pipeline/data/categories.ts";
export { type EmotionMetrics, emotionMetrics, predictionOf } from "./pipeline/report/metrics.ts";
export { type FigureOptions, writeFigures } from "./pipeline/report/figures.ts";
export { reportHtml, type ReportOptions, writeReport, type WriteReportOptions, type WrittenReport } from "./pipeline/report/html_report.ts";
export { checkGolden, type CheckGoldenOptions, type GoldenRow } from "./pipeline/golden_check.ts";
// Types that these refer to
export type { Lifetime } from "./kernels/arena.ts";
export type { AttentionKernel, AttentionVariant } from "./kernels/attention/operands.ts";
export type { TileColumns } from "./kernels/attention/tiled_wgsl.ts";
export type { CrossAttentionParameters } from "./kernels/cross_attention/cross_attention.ts";
export type { KernelBinding } from "./kernels/kernel.ts";
export type { SubgroupMatrixShape } from "./kernels/subgroup_matrix.ts";
export type { FloatWeightType, MatrixBlock, QuantizedType, WeightType } from "./kernels/linear/matrix.ts";
export type { ProductKernel, ProductVariant } from "./kernels/linear/product_choice.ts";
export type { ProductTile } from "./kernels/linear/tile_product_wgsl.ts";
export type { VectorThreads } from "./kernels/linear/vector_rows_wgsl.ts";
export type { MatrixTile } from "./kernels/linear/subgroup_matrix_wgsl.ts";
export type { AspectAccuracyOptions } from "./pipeline/aspects/aspect_accuracy.ts";
export type { AspectSizes, FlatParameters } from "./pipeline/aspects/aspect_modules.ts";
export type { AspectAttention, AspectParameters } from "./pipeline/checkpoint/aspect_file.ts";
export type { FeatureStoreCounters } from "./pipeline/encode.ts";
export type { EvaluationOptions } from "./pipeline/evaluate.ts";
export type { PromptLayout } from "./pipeline/masp_sequence.ts";
export type { Qwen2VlConfig, TextConfig, VisionConfig } from "./pipeline/qwen2_vl/config.ts";
export type { Network, RotaryTensors } from "./pipeline/qwen2_vl/network.ts";
export type { Picture } from "./pipeline/qwen2_vl/preprocess/picture.ts";
export type { PictureProcessor, PictureProcessorConfig, ProcessedPicture } from "./pipeline/qwen2_vl/preprocess/preprocess.ts";
export type { PicturePatches, VisionTower } from "./pipeline/qwen2_vl/vision_tower.ts";
export type {
  DecoderLayerWeights,
  JoinedProjections,
  Qwen2VlWeights,
  SeparateProjections,
  VisionBlockWeights,
} from "./pipeline/qwen2_vl/weights.ts";
export type { ClassAverages, ClassMetrics, Confusion } from "./pipeline/report/confusion.ts";
export type { EmotionMetricsOptions, EmotionRow, OtherAnswers, SentimentMetrics } from "./pipeline/report/metrics.ts";
export type { Proportion } from "./pipeline/report/proportion.ts";
export type { ChatTemplate, Message, MessagePart, RenderOptions } from "./pipeline/text/chat_template.ts";
export type { DecodeOptions, Tokenizer } from "./pipeline/text/tokenizer.ts";
export type { AdamWSettings } from "./pipeline/train/adamw_settings.ts";
export type { AspectSample } from "./pipeline/data/aspect_samples.ts";
export type { ScheduleType } from "./pipeline/train/schedule.ts";
