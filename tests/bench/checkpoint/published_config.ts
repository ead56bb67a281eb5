/** What the published checkpoints of Qwen2-VL say in their JSON files, for checkpoints of the same form with random weights. */

/** A published size. */
export type ModelSize = "2b" | "7b";

/** Sizes that differ from one published checkpoint to the other. */
const SIZES = {
  "2b": { hidden: 1536, intermediate: 8960, heads: 12, kvHeads: 2, rows: 151936, tied: true },
  "7b": { hidden: 3584, intermediate: 18944, heads: 28, kvHeads: 4, rows: 152064, tied: false },
} as const;

/** The published special tokens and their ids. */
export const SPECIAL_TOKENS: Readonly<Record<string, number>> = Object.fromEntries(
  [
    "<|endoftext|>",
    "<|im_start|>",
    "<|im_end|>",
    "<|object_ref_start|>",
    "<|object_ref_end|>",
    "<|box_start|>",
    "<|box_end|>",
    "<|quad_start|>",
    "<|quad_end|>",
    "<|vision_start|>",
    "<|vision_end|>",
    "<|vision_pad|>",
    "<|image_pad|>",
    "<|video_pad|>",
  ].map((token, i) => [token, 151643 + i]),
);

/** `config.json` of a published size; fewer layers or vision blocks where given. */
export function publishedConfig(size: ModelSize, options: { layers?: number; visionLayers?: number } = {}): Record<string, unknown> {
  const { hidden, intermediate, heads, kvHeads, rows, tied } = SIZES[size];
  const { layers = 28, visionLayers = 32 } = options;
  return {
    architectures: ["Qwen2VLForConditionalGeneration"],
    attention_dropout: 0,
    bos_token_id: SPECIAL_TOKENS["<|endoftext|>"],
    eos_token_id: SPECIAL_TOKENS["<|im_end|>"],
    vision_start_token_id: SPECIAL_TOKENS["<|vision_start|>"],
    vision_end_token_id: SPECIAL_TOKENS["<|vision_end|>"],
    vision_token_id: SPECIAL_TOKENS["<|vision_pad|>"],
    image_token_id: SPECIAL_TOKENS["<|image_pad|>"],
    video_token_id: SPECIAL_TOKENS["<|video_pad|>"],
    hidden_act: "silu",
    hidden_size: hidden,
    initializer_range: 0.02,
    intermediate_size: intermediate,
    max_position_embeddings: 32768,
    max_window_layers: layers,
    model_type: "qwen2_vl",
    num_attention_heads: heads,
    num_hidden_layers: layers,
    num_key_value_heads: kvHeads,
    rms_norm_eps: 1e-6,
    rope_theta: 1e6,
    sliding_window: 32768,
    tie_word_embeddings: tied,
    torch_dtype: "bfloat16",
    use_cache: true,
    use_sliding_window: false,
    vision_config: {
      depth: visionLayers,
      embed_dim: 1280,
      mlp_ratio: 4,
      num_heads: 16,
      in_chans: 3,
      hidden_size: hidden,
      patch_size: 14,
      spatial_merge_size: 2,
      spatial_patch_size: 14,
      temporal_patch_size: 2,
    },
    rope_scaling: { type: "mrope", mrope_section: [16, 24, 24] },
    vocab_size: rows,
  };
}

/** `generation_config.json` */
export const GENERATION_CONFIG = {
  bos_token_id: SPECIAL_TOKENS["<|endoftext|>"],
  pad_token_id: SPECIAL_TOKENS["<|endoftext|>"],
  do_sample: true,
  eos_token_id: [SPECIAL_TOKENS["<|im_end|>"], SPECIAL_TOKENS["<|endoftext|>"]],
  temperature: 0.01,
  top_k: 1,
  top_p: 0.001,
};

/** `preprocessor_config.json` */
export const PREPROCESSOR_CONFIG = {
  min_pixels: 3136,
  max_pixels: 12845056,
  patch_size: 14,
  temporal_patch_size: 2,
  merge_size: 2,
  image_mean: [0.48145466, 0.4578275, 0.40821073],
  image_std: [0.26862954, 0.26130258, 0.27577711],
  image_processor_type: "Qwen2VLImageProcessor",
  processor_class: "Qwen2VLProcessor",
};

/** `chat_template.json`: chats as the published template writes them. */
export const CHAT_TEMPLATE = "{%- for m in messages -%}{%- if loop.first and m['role'] != 'system' -%}" +
  "{{ '<|im_start|>system\\nYou are a helpful assistant.<|im_end|>\\n' }}{%- endif -%}{{ '<|im_start|>' + m['role'] + '\\n' }}" +
  "{%- if m['content'] is string -%}{{ m['content'] }}{%- else -%}{%- for part in m['content'] -%}{%- if part['type'] == 'image' -%}" +
  "{{ '<|vision_start|><|image_pad|><|vision_end|>' }}{%- elif 'text' in part -%}{{ part['text'] }}{%- endif -%}{%- endfor -%}" +
  "{%- endif -%}{{ '<|im_end|>\\n' }}{%- endfor -%}{%- if add_generation_prompt -%}{{ '<|im_start|>assistant\\n' }}{%- endif -%}";
