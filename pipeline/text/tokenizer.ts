import type { Tokenizer as Encoder } from "@huggingface/tokenizers";
import { join } from "@std/path";
import { MaspError } from "../errors.ts";
import { readJson, readOptionalJson } from "../read_json.ts";
import { type AddedToken, configuredTokens, isTokenizerJson, type TokenizerJson } from "./added_tokens.ts";

type EncoderClass = typeof Encoder;

/** Options of {@linkcode Tokenizer.decode}. */
export interface DecodeOptions {
  /** Leaves special tokens such as `<|im_end|>` out of the text. Default: false. */
  skipSpecialTokens?: boolean;
}

/**
 * A byte-level BPE tokenizer as `transformers` loads it from `tokenizer.json`: the same text gives the same ids.
 * {@linkcode loadTokenizer} makes one.
 */
export class Tokenizer {
  readonly #Encoder: EncoderClass;
  readonly #json: TokenizerJson;
  readonly #addedIds = new Map<string, number>();
  readonly #specialIds = new Set<number>();
  /** Entries of the base vocabulary. */
  readonly #base: number;
  #encoder: Encoder;
  #size: number;

  /**
   * Builds the tokenizer that a parsed tokenizer.json describes.
   *
   * @param Encoder `Tokenizer` of `@huggingface/tokenizers`.
   * @param json The contents of tokenizer.json.
   */
  constructor(Encoder: EncoderClass, json: TokenizerJson) {
    this.#Encoder = Encoder;
    this.#json = json;
    this.#base = Object.keys(json.model.vocab).length;
    this.#size = this.#base;
    for (const token of json.added_tokens) this.#register(token);
    this.#encoder = new Encoder(json, {});
  }

  /** Number of entries, added tokens included: `len(tokenizer)` in `transformers`. The embedding may have more rows. */
  get size(): number {
    return this.#size;
  }

  /**
   * Token ids of a text. Nothing is added at its ends; special tokens that stand in the text become one id each.
   *
   * @param text Any text.
   */
  encode(text: string): number[] {
    return text === "" ? [] : this.#encoder.encode(text, { add_special_tokens: false }).ids;
  }

  /**
   * The text of token ids, spaces left as they are; bytes that form no UTF-8 become U+FFFD. Ids that name no token give no text.
   *
   * @param ids Token ids.
   * @param options See {@linkcode DecodeOptions}.
   */
  decode(ids: Iterable<number>, options: DecodeOptions = {}): string {
    const kept = [...ids].filter((id) =>
      this.#encoder.id_to_token(id) !== undefined && !(options.skipSpecialTokens && this.#specialIds.has(id))
    );
    return kept.length === 0 ? "" : this.#encoder.decode(kept, { skip_special_tokens: false, clean_up_tokenization_spaces: false });
  }

  /**
   * The id of a token.
   *
   * @param token The token as the vocabulary spells it, e.g. `<|im_end|>`; bytes outside printable ASCII in GPT-2's byte alphabet.
   * @throws {MaspError} When the vocabulary has no such token.
   */
  idOf(token: string): number {
    const id = this.#encoder.token_to_id(token);
    if (id === undefined) {
      throw new MaspError(
        `The tokenizer has no token "${token}" among its ${this.#size} entries; use the tokenizer.json of a Qwen2-VL checkpoint`,
      );
    }
    return id;
  }

  /**
   * Adds special tokens after the last entry, as `add_special_tokens` does in `transformers`. One that is present keeps its id and becomes special.
   *
   * @param tokens The new tokens' texts.
   * @returns Their ids, in the order of `tokens`.
   */
  addSpecialTokens(tokens: string[]): number[] {
    const ids = tokens.map((content) => {
      const id = this.#encoder.token_to_id(content) ?? this.#addedIds.get(content) ?? this.#nextId();
      const token: AddedToken = { id, content, single_word: false, lstrip: false, rstrip: false, normalized: false, special: true };
      this.#json.added_tokens = [...this.#json.added_tokens.filter((other) => other.content !== content), token];
      this.#register(token);
      return id;
    });
    this.#encoder = new this.#Encoder(this.#json, {});
    return ids;
  }

  #register(token: AddedToken): void {
    if (!this.#addedIds.has(token.content) && !Object.hasOwn(this.#json.model.vocab, token.content)) this.#size++;
    this.#addedIds.set(token.content, token.id);
    if (token.special) this.#specialIds.add(token.id);
  }

  /** The rule of the `tokenizers` library: one after the highest added id, but no id inside the base vocabulary. */
  #nextId(): number {
    let next = this.#base;
    for (const id of this.#addedIds.values()) next = Math.max(next, id + 1);
    return next;
  }
}

/**
 * Reads the tokenizer of a checkpoint folder: `tokenizer.json`, and the tokens that `tokenizer_config.json` adds to it.
 *
 * @param dir Checkpoint folder.
 * @throws {MaspError} When tokenizer.json is missing, is no JSON or describes no byte-level BPE tokenizer.
 */
export async function loadTokenizer(dir: string): Promise<Tokenizer> {
  const path = join(dir, "tokenizer.json");
  const json = await readJson(path);
  const config = await readOptionalJson(join(dir, "tokenizer_config.json")) ?? {};
  if (!isTokenizerJson(json)) {
    const type = (json.model as { type?: unknown } | undefined)?.type;
    throw new MaspError(
      `Cannot load "${path}": its model is of type "${type}", expected "BPE" with vocab and added_tokens, as Qwen2-VL has it`,
    );
  }
  const { Tokenizer: Encoder } = await import("@huggingface/tokenizers");
  const { added, missing } = configuredTokens(json, config);
  try {
    const tokenizer = new Tokenizer(Encoder, { ...json, added_tokens: added });
    if (missing.length > 0) tokenizer.addSpecialTokens(missing);
    return tokenizer;
  } catch (cause) {
    throw new MaspError(`Cannot load "${path}": ${(cause as Error).message}; use the tokenizer.json of a Qwen2-VL checkpoint`, { cause });
  }
}
