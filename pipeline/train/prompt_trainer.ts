/** Stage 2's step: gradients of the soft prompt's rows, then AdamW. Letters: n prompt tokens, D hidden, T rows, A answers. */
import { gradientNorm } from "../../kernels/gradient_norm/gradient_norm.ts";
import type { Gpu } from "../../kernels/gpu.ts";
import { Plan } from "../../kernels/plan.ts";
import { PlanCache } from "../../kernels/plan_cache.ts";
import type { Tensor } from "../../kernels/tensor.ts";
import type { TensorData } from "../checkpoint/tensor_data.ts";
import type { Qwen2Vl } from "../load.ts";
import { maspSequence } from "../masp_sequence.ts";
import type { PictureInputs } from "../picture_inputs.ts";
import type { SoftPrompt } from "../soft_prompt.ts";
import { headOf, PromptHead } from "../qwen2_vl/prompt_head.ts";
import { ADAMW_DEFAULTS, type AdamWSettings } from "./adamw_settings.ts";
import { ParameterGroup } from "./parameter_group.ts";
import { passSize, TrainingPass, withoutFirst } from "./training_pass.ts";
import type { Trainable } from "./training_run.ts";

/** A picture with a question and its answer. */
export interface EmotionSample {
  /** Path of the picture. */
  image: string;
  /** Question. */
  question: string;
  /** Answer. */
  label: string;
}

/** Options of {@linkcode PromptTrainer}. */
export interface PromptTrainerOptions {
  /** The prompt that trains. */
  prompt: SoftPrompt;
  /** Features and aspect tokens of the pictures. */
  inputs: PictureInputs;
  /** Optimizer. */
  adamW?: AdamWSettings;
  /** Compute each layer again in the backward pass. */
  recompute?: boolean;
}

/** Trains a soft prompt; see {@linkcode Trainable}. */
export class PromptTrainer implements Trainable<EmotionSample>, Disposable {
  readonly gpu: Gpu;
  /** Gradient of the step so far (n, D). */
  readonly gradient: Tensor;
  readonly #model: Qwen2Vl;
  readonly #options: PromptTrainerOptions;
  readonly #passes = new PlanCache<TrainingPass>(32);
  readonly #head: PromptHead;
  readonly #adamW: Required<AdamWSettings>;
  readonly #group: ParameterGroup;
  readonly #norm: Tensor;
  readonly #clear: Plan;
  readonly #update: Plan;

  /** @param model the frozen model */
  constructor(model: Qwen2Vl, options: PromptTrainerOptions) {
    const { gpu } = model;
    this.gpu = gpu;
    this.#model = model;
    this.#options = options;
    this.#head = new PromptHead(model.network);
    this.#adamW = { ...ADAMW_DEFAULTS, ...options.adamW };
    this.#group = new ParameterGroup(gpu, { parameter: options.prompt.rows }); // embeddings keep 32-bit moments
    this.gradient = gpu.tensor(options.prompt.rows.shape, { label: "gradient of the prompt rows" });
    this.#norm = gpu.tensor([2], { label: "gradient norm" });
    this.#clear = new Plan(gpu, "clear gradients");
    this.#clear.clear(this.gradient);
    this.#update = new Plan(gpu, "update of the soft prompt");
    gradientNorm(this.#update, { gradients: [this.gradient], maxNorm: this.#adamW.maxNorm, out: this.#norm });
    this.#group.recordUpdate(this.#update, { gradient: this.gradient, norm: this.#norm });
  }

  prefetch(samples: readonly EmotionSample[]): void {
    this.#options.inputs.prefetch(...samples.map(({ image }) => image));
  }

  begin(): void {
    this.gpu.run(this.#clear);
  }

  async accumulate(sample: EmotionSample, options: { weight: number }): Promise<Tensor> {
    const { inputs, prompt, recompute } = this.#options;
    const { tokens: features } = await inputs.load(sample.image);
    const chat = { question: sample.question, answer: sample.label, promptTokens: prompt.tokens, layout: prompt.layout };
    const sequence = { ...maspSequence(this.#model, { chat, rows: { aspects: inputs.aspectRows, features } }), weight: options.weight };
    const head = headOf(sequence.ids);
    const rest = withoutFirst(sequence, head.length);
    const size = passSize([rest]);
    const promptHead = this.#head.prepare(head, size.rows);
    const pass = this.#passes.get(
      `${size.rows} ${size.answers} ${inputs.generation} ${promptHead.generation}`,
      () =>
        new TrainingPass(this.#model.network, {
          ...size,
          head: prompt.head,
          sources: { ...inputs.sources, prompt: prompt.rows },
          gradients: { prompt: { out: this.gradient, add: true } },
          headGradient: prompt.inHead ? { start: prompt.firstId, out: this.gradient } : undefined,
          recompute,
          promptHead,
        }),
    );
    pass.write([rest]);
    this.gpu.run(pass.plan);
    return pass.loss;
  }

  update({ learningRate }: { learningRate: number }): Tensor {
    this.#group.prepare({ ...this.#adamW, learningRate });
    this.gpu.run(this.#update);
    return this.#norm;
  }

  state(): Promise<Record<string, TensorData>> {
    return this.#group.state("prefix");
  }

  restore(tensors: Readonly<Record<string, TensorData>>): void {
    this.#group.restore(tensors, "prefix");
  }

  /** Frees what the training needed; the prompt stays. */
  [Symbol.dispose](): void {
    this.#passes.clear();
    this.#head[Symbol.dispose]();
    this.#clear[Symbol.dispose]();
    this.#update[Symbol.dispose]();
    this.#group[Symbol.dispose]();
    this.gpu.destroy(this.gradient, this.#norm);
  }
}
