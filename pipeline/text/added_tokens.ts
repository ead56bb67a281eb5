/** A token that stands beside the BPE vocabulary, as tokenizer.json describes it. */
export interface AddedToken {
  /** Its row of the embedding. */
  id: number;
  /** Its text. */
  content: string;
  /** Matched only between word boundaries. */
  single_word: boolean;
  /** Takes the white space before it. */
  lstrip: boolean;
  /** Takes the white space after it. */
  rstrip: boolean;
  /** Looked for after the text was normalised. */
  normalized: boolean;
  /** Left out by `decode` on request. */
  special: boolean;
}

/** The parts of tokenizer.json that this project itself reads. */
export interface TokenizerJson {
  /** The tokens beside the vocabulary. */
  added_tokens: AddedToken[];
  /** The BPE model; `vocab` gives each token's id. */
  model: { type: "BPE"; vocab: Record<string, number> };
}

/** Whether a parsed tokenizer.json describes a BPE tokenizer. */
export function isTokenizerJson(value: object): value is TokenizerJson {
  const { model, added_tokens } = value as { model?: { type?: unknown; vocab?: unknown }; added_tokens?: unknown };
  return Array.isArray(added_tokens) && model?.type === "BPE" && typeof model.vocab === "object" && model.vocab !== null;
}

/**
 * What tokenizer_config.json adds to tokenizer.json when `transformers` loads both: entries of `added_tokens_decoder` win over those of the same text,
 * and special tokens named in the settings that are in neither file come after the last entry.
 *
 * @param json Parsed tokenizer.json.
 * @param config Parsed tokenizer_config.json, or an empty object.
 * @returns The added tokens with their ids, and the special tokens that still need one.
 */
export function configuredTokens(json: TokenizerJson, config: Record<string, unknown>): { added: AddedToken[]; missing: string[] } {
  const added = new Map(json.added_tokens.map((token) => [token.content, token]));
  const decoder = (config.added_tokens_decoder ?? {}) as Record<string, Partial<AddedToken>>;
  for (const id of Object.keys(decoder).map(Number).sort((a, b) => a - b)) {
    const { content, single_word = false, lstrip = false, rstrip = false, special = false, normalized = !special } = decoder[id];
    if (typeof content === "string") added.set(content, { id, content, single_word, lstrip, rstrip, normalized, special });
  }
  const known = (content: string) => added.has(content) || Object.hasOwn(json.model.vocab, content);
  return { added: [...added.values()], missing: [...new Set(namedSpecialTokens(config))].filter((content) => !known(content)) };
}

function namedSpecialTokens(config: Record<string, unknown>): string[] {
  const single = ["bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token"].map((key) => config[key]);
  const lists = [config.additional_special_tokens, config.extra_special_tokens].map((list) => Object.values(list ?? {}));
  return [...single, ...lists.flat()]
    .map((token) => typeof token === "string" ? token : (token as { content?: string } | null | undefined)?.content)
    .filter((content) => content !== undefined);
}
