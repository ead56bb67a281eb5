import { assertEquals, assertMatch, assertThrows } from "@std/assert";
import { MaspError } from "../../../pipeline/errors.ts";
import { parseConfig } from "../../../pipeline/qwen2_vl/config.ts";

const vision = { depth: 32, embed_dim: 1280, mlp_ratio: 4, num_heads: 16, in_chans: 3, hidden_size: 3584, patch_size: 14 };
const text = {
  hidden_size: 3584,
  num_hidden_layers: 28,
  num_attention_heads: 28,
  num_key_value_heads: 4,
  intermediate_size: 18944,
  vocab_size: 152064,
  rms_norm_eps: 1e-6,
  rope_theta: 1e6,
  max_position_embeddings: 32768,
  hidden_act: "silu",
};
const rope = { rope_scaling: { type: "mrope", mrope_section: [16, 24, 24] } };
/** The published 7B model's. */
const published = { model_type: "qwen2_vl", tie_word_embeddings: false, eos_token_id: 151645, ...text, ...rope, vision_config: vision };

const messageOf = (config: unknown) => assertThrows(() => parseConfig(config, { name: "weights/x" }), MaspError).message;

Deno.test("config: the published form", () => {
  const { text: t, vision: v, eosIds } = parseConfig(published, { name: "x", generation: { eos_token_id: [151645, 151643] } });
  assertEquals([t.hidden, t.layers, t.heads, t.kvHeads, t.headDim, t.intermediate, t.vocabulary], [3584, 28, 28, 4, 128, 18944, 152064]);
  assertEquals([t.normEps, t.ropeBase, t.ropeSections, t.maxPositions, t.tied], [1e-6, 1e6, [16, 24, 24], 32768, false]);
  assertEquals([v.blocks, v.hidden, v.heads, v.intermediate, v.patch, v.temporalPatch, v.merge, v.channels, v.output], [
    32,
    1280,
    16,
    5120,
    14,
    2,
    2,
    3,
    3584,
  ]);
  assertEquals(eosIds, [151645, 151643]);
  assertEquals(parseConfig(published, { name: "x" }).eosIds, [151645]);
});

Deno.test("config: the nested form of newer transformers says the same", () => {
  const nested = {
    model_type: "qwen2_vl",
    tie_word_embeddings: false,
    vision_config: { ...vision, model_type: "qwen2_vl" },
    text_config: { ...text, ...rope, model_type: "qwen2_vl_text", eos_token_id: 151645 },
  };
  const expected = parseConfig(published, { name: "x" });
  assertEquals(parseConfig(nested, { name: "x" }), expected);
  const { rope_theta: _, ...withoutBase } = text;
  const parameters = {
    ...withoutBase,
    rope_parameters: { rope_type: "default", rope_theta: 1e6, mrope_section: [16, 24, 24] },
    eos_token_id: 151645,
  };
  assertEquals(parseConfig({ ...nested, text_config: parameters }, { name: "x" }), expected);
  const tied = { ...nested, tie_word_embeddings: undefined, text_config: { ...text, ...rope, tie_word_embeddings: true } };
  assertEquals(parseConfig(tied, { name: "x" }).text.tied, true);
});

Deno.test("config: every fault in one message that names the folder", () => {
  const { hidden_size: _, ...without } = published;
  const message = messageOf({ ...without, num_hidden_layers: -3 });
  assertMatch(message, /Cannot use "weights\/x": config\.json is not that of a Qwen2-VL checkpoint/);
  assertMatch(message, /hidden_size/);
  assertMatch(message, /num_hidden_layers/);
  assertMatch(messageOf({ ...published, model_type: "qwen2_5_vl" }), /expected "qwen2_vl", found "qwen2_5_vl"/);
  assertMatch(messageOf({}), /expected "qwen2_vl", found undefined/);
  assertMatch(messageOf({ ...published, hidden_act: "gelu" }), /hidden_act/);
});

Deno.test("config: sizes that do not fit each other", () => {
  assertMatch(messageOf({ ...published, num_attention_heads: 24 }), /hidden_size 3584 is no multiple of num_attention_heads 24/);
  assertMatch(messageOf({ ...published, num_key_value_heads: 3 }), /28 is no multiple of num_key_value_heads 3/);
  assertMatch(
    messageOf({ ...published, rope_scaling: { mrope_section: [16, 24, 25] } }),
    /mrope_section \[16,24,25\] does not add up to half of 128/,
  );
  assertMatch(
    messageOf({ ...published, vision_config: { ...vision, hidden_size: 1536 } }),
    /vision_config\.hidden_size 1536 is not hidden_size 3584/,
  );
});
