import { assert, assertEquals, assertRejects, assertStringIncludes, assertThrows } from "@std/assert";
import { join } from "@std/path";
import { MaspError } from "../../../pipeline/errors.ts";
import { loadTokenizer } from "../../../pipeline/text/tokenizer.ts";
import { GOLDEN_DIR, goldenCases } from "../../golden_reader.ts";

const MODEL_DIR = join(GOLDEN_DIR, "model");

interface Cases {
  tokenizer: { strings: string[]; ids: number[][]; decoded: string[] };
  stage2: { prefix_tokens: string[]; prefix_ids: number[] };
  [stage: string]: unknown;
}
const cases = goldenCases<Cases>();

/** Copies the golden model's tokenizer files to a new folder after `edit` has changed them. */
async function editedModel(edit: (tokenizer: Record<string, unknown>, config: Record<string, unknown>) => void): Promise<string> {
  const dir = await Deno.makeTempDir();
  const files = ["tokenizer.json", "tokenizer_config.json"];
  const [tokenizer, config] = await Promise.all(files.map(async (file) => JSON.parse(await Deno.readTextFile(join(MODEL_DIR, file)))));
  edit(tokenizer, config);
  await Promise.all([tokenizer, config].map((json, i) => Deno.writeTextFile(join(dir, files[i]), JSON.stringify(json))));
  return dir;
}

Deno.test("encode and decode give the golden ids and texts", async () => {
  const tokenizer = await loadTokenizer(MODEL_DIR);
  const { strings, ids, decoded } = cases.tokenizer;
  assert(strings.length > 0);
  assertEquals(strings.map((text) => tokenizer.encode(text)), ids);
  assertEquals(ids.map((list) => tokenizer.decode(list, { skipSpecialTokens: true })), decoded);
  // A decomposed letter comes back composed: NFC.
  assertEquals(ids.map((list) => tokenizer.decode(list)), strings.map((text) => text.normalize("NFC")));
});

Deno.test("white space is what Unicode calls so, and no other character is lost", async () => {
  const tokenizer = await loadTokenizer(MODEL_DIR);
  const text = "a\u0085b\uFEFFc \u3000 d\u200Be\u2028 f\u{10FFFF}\0g I\u017F 'ſ 'S ½ ٣ _x";
  assertEquals(tokenizer.decode(tokenizer.encode(text)), text);
});

Deno.test("bytes that are no UTF-8 are replaced, unknown ids give nothing", async () => {
  const tokenizer = await loadTokenizer(MODEL_DIR);
  const bytes = tokenizer.encode("😀");
  assert(bytes.length > 1);
  assertEquals(tokenizer.decode(bytes.slice(0, 1)), "\uFFFD");
  assertEquals(tokenizer.decode([...bytes.slice(0, 1), ...tokenizer.encode("<|im_end|>x")], { skipSpecialTokens: true }), "\uFFFDx");
  assertEquals(tokenizer.decode([tokenizer.size + 5, ...tokenizer.encode("x")]), "x");
  assertEquals(tokenizer.decode([]), "");
});

Deno.test("added special tokens take the ids after the last entry and are recognised", async () => {
  const tokenizer = await loadTokenizer(MODEL_DIR);
  const { prefix_tokens, prefix_ids } = cases.stage2;
  const before = tokenizer.size;
  assertEquals(before, prefix_ids[0]);
  assertEquals(tokenizer.addSpecialTokens(prefix_tokens), prefix_ids);
  assertEquals(tokenizer.size, before + prefix_tokens.length);
  assertEquals(tokenizer.addSpecialTokens([prefix_tokens[1], "<|im_end|>"]), [prefix_ids[1], tokenizer.idOf("<|im_end|>")]);
  assertEquals(tokenizer.size, before + prefix_tokens.length);

  const plain = tokenizer.encode("hi");
  const ids = tokenizer.encode(`hi${prefix_tokens.join("")}hi`);
  assertEquals(ids, [...plain, ...prefix_ids, ...plain]);
  assertEquals(tokenizer.decode(ids), `hi${prefix_tokens.join("")}hi`);
  assertEquals(tokenizer.decode(ids, { skipSpecialTokens: true }), "hihi");
});

Deno.test("a token that the vocabulary lacks is named", async () => {
  const tokenizer = await loadTokenizer(MODEL_DIR);
  const error = assertThrows(() => tokenizer.idOf("<|nothing|>"), MaspError);
  assertStringIncludes(error.message, "<|nothing|>");
});

Deno.test("tokens that only tokenizer_config.json names are added", async () => {
  const entry = { lstrip: false, rstrip: false, normalized: false, single_word: false };
  const dir = await editedModel((tokenizer, config) => {
    tokenizer.added_tokens = (tokenizer.added_tokens as { content: string }[]).filter(({ content }) => content !== "<|video_pad|>");
    config.added_tokens_decoder = {
      ...config.added_tokens_decoder as object,
      "620": { ...entry, content: "<tool>", special: false },
      "621": { ...entry, content: "<|last|>", special: true },
    };
    config.additional_special_tokens = [...config.additional_special_tokens as string[], { content: "<|named|>" }];
  });
  const tokenizer = await loadTokenizer(dir);
  assertEquals(["<|video_pad|>", "<tool>", "<|last|>", "<|named|>"].map((token) => tokenizer.idOf(token)), [619, 620, 621, 622]);
  assertEquals(tokenizer.size, 623);
  assertEquals(tokenizer.decode(tokenizer.encode("a<tool><|last|><|named|>b"), { skipSpecialTokens: true }), "a<tool>b");
});

Deno.test("a missing, broken or foreign tokenizer.json is an error with one clear message", async () => {
  const empty = await Deno.makeTempDir();
  const missing = await assertRejects(() => loadTokenizer(empty), MaspError);
  assertStringIncludes(missing.message, `Cannot load "${empty}": tokenizer.json is missing`);

  await Deno.writeTextFile(join(empty, "tokenizer.json"), '{"model": ');
  assertStringIncludes((await assertRejects(() => loadTokenizer(empty), MaspError)).message, "it is no JSON");

  const foreign = await editedModel((tokenizer) => tokenizer.model = { type: "Unigram", vocab: [] });
  assertStringIncludes((await assertRejects(() => loadTokenizer(foreign), MaspError)).message, '"Unigram", expected "BPE"');
});
