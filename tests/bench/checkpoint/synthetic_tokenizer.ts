/**
 * A `tokenizer.json` with as many entries as the published one and the same special tokens, for checkpoints whose weights are random anyway:
 * byte-level BPE in which the words of this project's questions and answers are one token each, and fillers for the other ids.
 */
import { SPECIAL_TOKENS } from "./published_config.ts";

/** Ids that words have in the published vocabulary. */
const FIXED: Readonly<Record<string, number>> = { assistant: 77091 };
/** Words that begin a turn. They come first, so that no other word's merges cut them. */
const ROLES = ["assistant", "system", "user"];
const ENTRIES = 151643;

/**
 * The parsed `tokenizer.json`.
 *
 * @param words Words that shall be one token, without and with a space before them.
 */
export function syntheticTokenizer(words: Iterable<string>): Record<string, unknown> {
  const vocab = new Map<string, number>(byteAlphabet().map((letter, id) => [letter, id]));
  const merges = new Map<string, [string, string]>();
  const taken = new Set(Object.values(FIXED));
  let next = vocab.size;
  const add = (token: string) => {
    if (vocab.has(token)) return;
    while (taken.has(next)) next++;
    vocab.set(token, FIXED[token] ?? next++);
  };
  // A word's merges add one letter at a time. Those that begin with a space can match at one place of a word only; they come first.
  const plain = [...new Set([...ROLES, ...words])].filter((word) => /^[a-z]+$/i.test(word));
  for (const word of [...plain.map((word) => `Ġ${word}`), ...plain]) {
    for (let length = 1; length < word.length; length++) {
      const pair: [string, string] = [word.slice(0, length), word[length]];
      merges.set(pair.join(" "), merges.get(pair.join(" ")) ?? pair);
      add(pair.join(""));
    }
  }
  for (let i = 0; vocab.size < ENTRIES; i++) add(`Ġfiller${i}`);
  return {
    version: "1.0",
    truncation: null,
    padding: null,
    added_tokens: Object.entries(SPECIAL_TOKENS).map(([content, id]) => ({ id, content, ...SPECIAL, special: true })),
    normalizer: { type: "NFC" },
    pre_tokenizer: {
      type: "Sequence",
      pretokenizers: [
        { type: "Split", pattern: { Regex: SPLIT }, behavior: "Isolated", invert: false },
        { type: "ByteLevel", add_prefix_space: false, trim_offsets: false, use_regex: false },
      ],
    },
    post_processor: { type: "ByteLevel", add_prefix_space: false, trim_offsets: false, use_regex: false },
    decoder: { type: "ByteLevel", add_prefix_space: false, trim_offsets: false, use_regex: false },
    model: {
      type: "BPE",
      dropout: null,
      unk_token: null,
      continuing_subword_prefix: "",
      end_of_word_suffix: "",
      fuse_unk: false,
      byte_fallback: false,
      ignore_merges: false,
      vocab: Object.fromEntries([...vocab].sort(([, a], [, b]) => a - b)),
      merges: [...merges.keys()],
    },
  };
}

const SPECIAL = { single_word: false, lstrip: false, rstrip: false, normalized: false };
const SPLIT =
  "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+";

/** `tokenizer_config.json` */
export function syntheticTokenizerConfig(chatTemplate: string): Record<string, unknown> {
  return {
    add_prefix_space: false,
    added_tokens_decoder: Object.fromEntries(
      Object.entries(SPECIAL_TOKENS).map(([content, id]) => [id, { content, ...SPECIAL, special: true }]),
    ),
    additional_special_tokens: Object.keys(SPECIAL_TOKENS).slice(1),
    bos_token: null,
    chat_template: chatTemplate,
    clean_up_tokenization_spaces: false,
    eos_token: "<|im_end|>",
    errors: "replace",
    model_max_length: 32768,
    pad_token: "<|endoftext|>",
    split_special_tokens: false,
    tokenizer_class: "Qwen2Tokenizer",
    unk_token: null,
  };
}

/** GPT-2's letters for the 256 bytes, in the order of their ids: printable ones as they are, the others from U+0100 on. */
function byteAlphabet(): string[] {
  const all = Array.from({ length: 256 }, (_, byte) => byte);
  const printable = all.filter((byte) => (byte > 32 && byte < 127) || (byte > 160 && byte < 173) || byte > 173);
  const others = all.filter((byte) => !printable.includes(byte));
  return [...printable, ...others.map((_, i) => 256 + i)].map((code) => String.fromCodePoint(code));
}
