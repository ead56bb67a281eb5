import { MaspError } from "../errors.ts";
import type { Tokenizer } from "./tokenizer.ts";

/** Options of {@linkcode encodePrompt}. */
export interface EncodePromptOptions {
  /** The token that stands for a picture in the text, `<|image_pad|>` in the published vocabulary. */
  imageToken: string;
  /** Visual tokens (P/4, after merging) of each picture, in the order of the text. */
  imageCounts: number[];
}

/** Token ids that enclose a picture. */
export interface PictureBlockIds {
  /** Id of `<|vision_start|>`. */
  visionStart: number;
  /** Id of `<|vision_end|>`. */
  visionEnd: number;
}

/** Token ids that enclose an answer. */
export interface AnswerSpanIds {
  /** Id of `assistant`. */
  assistant: number;
  /** Id of `<|im_end|>`. */
  imEnd: number;
}

/**
 * Token ids of a prompt, each picture token repeated as often as its picture has visual tokens (Qwen2-VL's processor does the same).
 *
 * @param tokenizer The checkpoint's tokenizer.
 * @param text Prompt text, as the chat template renders it.
 * @param options See {@linkcode EncodePromptOptions}.
 * @returns The ids, (T).
 * @throws {MaspError} When the text has not one picture token per count.
 */
export function encodePrompt(tokenizer: Tokenizer, text: string, options: EncodePromptOptions): Int32Array {
  const { imageToken, imageCounts } = options;
  const imageId = tokenizer.idOf(imageToken);
  const ids = tokenizer.encode(text);
  const pictures = ids.filter((id) => id === imageId).length;
  if (pictures !== imageCounts.length) {
    throw new MaspError(
      `The prompt names ${pictures} picture(s) by "${imageToken}", expected ${imageCounts.length}; take "${imageToken}" out of the question's text`,
    );
  }
  let picture = 0;
  return Int32Array.from(ids.flatMap((id) => id === imageId ? new Array<number>(imageCounts[picture++]).fill(id) : [id]));
}

/**
 * Where the picture block stands: the first `<|vision_start|>` and the last `<|vision_end|>`, both of which stay when MASP replaces what is between.
 *
 * @param ids Token ids of a prompt, (T).
 * @param tokens See {@linkcode PictureBlockIds}.
 * @returns Positions `[start, end]` of the two tokens.
 * @throws {MaspError} When there is no such block.
 */
export function findPictureBlock(ids: ArrayLike<number>, tokens: PictureBlockIds): [start: number, end: number] {
  const start = Array.prototype.indexOf.call(ids, tokens.visionStart);
  const end = Array.prototype.lastIndexOf.call(ids, tokens.visionEnd);
  if (start < 0 || end < start) {
    throw new MaspError(
      `The prompt of ${ids.length} tokens has no picture block: vision start ${tokens.visionStart} at ${start}, vision end ${tokens.visionEnd} at ${end}; ` +
        `use a chat template that writes both around a picture`,
    );
  }
  return [start, end];
}

/**
 * Where the answer stands: from the token after the last `assistant` (the newline, which the reference counts as a label too) up to, not including,
 * the last `<|im_end|>`.
 *
 * @param ids Token ids of a whole conversation, (T).
 * @param tokens See {@linkcode AnswerSpanIds}.
 * @returns Positions `[start, end)`. A label at position t is predicted from position t-1.
 * @throws {MaspError} When there is no answer.
 */
export function findAnswerSpan(ids: ArrayLike<number>, tokens: AnswerSpanIds): [start: number, end: number] {
  const assistant = Array.prototype.lastIndexOf.call(ids, tokens.assistant);
  const end = Array.prototype.lastIndexOf.call(ids, tokens.imEnd);
  if (assistant < 0 || end <= assistant + 1) {
    throw new MaspError(
      `The prompt of ${ids.length} tokens has no answer: "assistant" (${tokens.assistant}) at ${assistant}, end of turn (${tokens.imEnd}) at ${end}; ` +
        `end the messages with an assistant turn`,
    );
  }
  return [assistant + 1, end];
}
