/** `config.json` of a Qwen2-VL checkpoint as typed values; both the published flat form and the nested one of newer transformers. */
import { z } from "zod";
import { MaspError } from "../errors.ts";

/** Sizes of the language model. Letters: D hidden, E = heads · headDim, KV = kvHeads · headDim, I intermediate, V vocabulary rows. */
export interface TextConfig {
  /** D */
  hidden: number;
  /** Number of decoder layers. */
  layers: number;
  /** Query heads. */
  heads: number;
  /** Key and value heads. */
  kvHeads: number;
  /** Size of a head. */
  headDim: number;
  /** I */
  intermediate: number;
  /** V */
  vocabulary: number;
  /** Epsilon of the RMSNorms. */
  normEps: number;
  /** Base of the rotary frequencies. */
  ropeBase: number;
  /** Pairs of a head that turn with time, row and column. */
  ropeSections: number[];
  /** Positions that the model was made for. */
  maxPositions: number;
  /** Whether the head is the embedding. */
  tied: boolean;
}

/** Sizes of the vision tower. */
export interface VisionConfig {
  /** Number of blocks. */
  blocks: number;
  /** Size of a patch's vector. */
  hidden: number;
  /** Attention heads. */
  heads: number;
  /** Size of the MLP. */
  intermediate: number;
  /** Side of a patch in pixels. */
  patch: number;
  /** Frames in a patch. */
  temporalPatch: number;
  /** Patches of a merged token on a side. */
  merge: number;
  /** Color channels. */
  channels: number;
  /** Size of a merged token: the language model's D. */
  output: number;
}

/** What `config.json` and `generation_config.json` say. */
export interface Qwen2VlConfig {
  /** The language model. */
  text: TextConfig;
  /** The vision tower. */
  vision: VisionConfig;
  /** Ids that end an answer. */
  eosIds: number[];
}

const size = z.number().int().positive();
const textSchema = z.object({
  hidden_size: size,
  num_hidden_layers: size,
  num_attention_heads: size,
  num_key_value_heads: size.optional(),
  head_dim: size.optional(),
  intermediate_size: size,
  vocab_size: size,
  rms_norm_eps: z.number().positive(),
  rope_theta: z.number().positive().optional(),
  rope_scaling: z.object({ mrope_section: z.array(size).length(3), rope_theta: z.number().positive().optional() }).optional(),
  rope_parameters: z.object({ mrope_section: z.array(size).length(3), rope_theta: z.number().positive().optional() }).optional(),
  max_position_embeddings: size.default(32768),
  hidden_act: z.literal("silu").default("silu"),
  use_sliding_window: z.literal(false).default(false),
  eos_token_id: z.union([z.number(), z.array(z.number())]).optional(),
});
const visionSchema = z.object({
  depth: size,
  embed_dim: size,
  num_heads: size,
  mlp_ratio: z.number().positive(),
  in_channels: size.optional(),
  in_chans: size.optional(),
  hidden_size: size,
  patch_size: size,
  spatial_merge_size: size.default(2),
  temporal_patch_size: size.default(2),
  hidden_act: z.literal("quick_gelu").default("quick_gelu"),
});
const configSchema = z.object({
  model_type: z.literal("qwen2_vl", { error: (issue) => `expected "qwen2_vl", found ${JSON.stringify(issue.input)}` }),
  tie_word_embeddings: z.boolean().optional(),
  text_config: z.looseObject({ tie_word_embeddings: z.boolean().optional() }).optional(),
  vision_config: visionSchema,
});

/**
 * Reads a checkpoint's configuration.
 *
 * @param config parsed `config.json`
 * @param options parsed `generation_config.json` where there is one, and the folder's name for messages
 * @throws {MaspError} naming every setting that is missing or has another form than expected
 */
export function parseConfig(config: unknown, options: { generation?: unknown; name: string }): Qwen2VlConfig {
  const fail = (error: z.ZodError): never => {
    throw new MaspError(`Cannot use "${options.name}": config.json is not that of a Qwen2-VL checkpoint.\n${z.prettifyError(error)}`);
  };
  const top = configSchema.safeParse(config);
  if (!top.success) return fail(top.error);
  const text = textSchema.safeParse({ ...(config as object), ...top.data.text_config });
  if (!text.success) return fail(text.error);
  const t = text.data;
  const v = top.data.vision_config;
  const rope = t.rope_parameters ?? t.rope_scaling;
  const headDim = t.head_dim ?? t.hidden_size / t.num_attention_heads;
  const generation = z.looseObject({ eos_token_id: z.union([z.number(), z.array(z.number())]).optional() }).safeParse(
    options.generation ?? {},
  );
  const eos = (generation.success ? generation.data.eos_token_id : undefined) ?? t.eos_token_id ?? [];
  const parsed: Qwen2VlConfig = {
    text: {
      hidden: t.hidden_size,
      layers: t.num_hidden_layers,
      heads: t.num_attention_heads,
      kvHeads: t.num_key_value_heads ?? t.num_attention_heads,
      headDim,
      intermediate: t.intermediate_size,
      vocabulary: t.vocab_size,
      normEps: t.rms_norm_eps,
      ropeBase: rope?.rope_theta ?? t.rope_theta ?? 1e6,
      ropeSections: rope?.mrope_section ?? [headDim / 2],
      maxPositions: t.max_position_embeddings,
      tied: top.data.tie_word_embeddings ?? top.data.text_config?.tie_word_embeddings ?? false,
    },
    vision: {
      blocks: v.depth,
      hidden: v.embed_dim,
      heads: v.num_heads,
      intermediate: Math.floor(v.embed_dim * v.mlp_ratio),
      patch: v.patch_size,
      temporalPatch: v.temporal_patch_size,
      merge: v.spatial_merge_size,
      channels: v.in_chans ?? v.in_channels ?? 3,
      output: v.hidden_size,
    },
    eosIds: [eos].flat(),
  };
  checkSizes(parsed, options.name);
  return parsed;
}

function checkSizes({ text, vision }: Qwen2VlConfig, name: string): void {
  const faults = [
    !Number.isInteger(text.headDim) && `hidden_size ${text.hidden} is no multiple of num_attention_heads ${text.heads}`,
    text.headDim % 4 && `a head size of ${text.headDim}; expected a multiple of 4`,
    text.heads % text.kvHeads && `num_attention_heads ${text.heads} is no multiple of num_key_value_heads ${text.kvHeads}`,
    text.ropeSections.reduce((a, b) => a + b, 0) * 2 !== text.headDim &&
    `mrope_section [${text.ropeSections}] does not add up to half of ${text.headDim}`,
    vision.hidden % (4 * vision.heads) && `a vision size of ${vision.hidden} in ${vision.heads} heads; expected heads of a multiple of 4`,
    vision.output !== text.hidden && `vision_config.hidden_size ${vision.output} is not hidden_size ${text.hidden}`,
  ].filter(Boolean);
  if (faults.length) throw new MaspError(`Cannot use "${name}": config.json has ${faults.join("; ")}.`);
}
