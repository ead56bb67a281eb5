/**
 * MASP's token sequences: the picture block of a chat replaced by aspect tokens and visual features, prompt rows in their places.
 * Letters: L tokens of a sequence, N visual tokens of the picture, D hidden.
 */
import type { Prompt } from "./qwen2_vl/prompt.ts";
import { NO_ROW } from "./qwen2_vl/language_model.ts";
import type { ChatTemplate, Message } from "./text/chat_template.ts";
import { findAnswerSpan, findPictureBlock } from "./text/prompt_tokens.ts";
import type { Tokenizer } from "./text/tokenizer.ts";

/** What the sequences need of a model: its texts' ids. */
export interface TextModel {
  /** The checkpoint's tokenizer. */
  readonly tokenizer: Tokenizer;
  /** The checkpoint's chat template. */
  readonly chatTemplate: ChatTemplate;
}

/** The system message of every chat, as the reference has it. */
const SYSTEM_MESSAGE = "You are a helpful assistant.";

/** Where the prompt rows stand: twice (the published code) or once, behind the picture (the paper's figure). */
export type PromptLayout = "code" | "paper";

/** One chat about a picture. */
export interface Chat {
  /** The question. */
  question: string;
  /** The answer; left out when it is to be generated. */
  answer?: string;
  /** Names of the prompt tokens, in order; none in stage 1. */
  promptTokens?: readonly string[];
  /** Where they stand. */
  layout?: PromptLayout;
}

/** What stands between `<|vision_start|>` and `<|vision_end|>`. */
export interface PictureRows {
  /** Rows of the tensor of aspect tokens, in order. */
  aspects?: readonly number[];
  /** Number of visual tokens that follow. */
  features?: number;
  /** Row of the tensor of visual features that holds the first of them; 0 when left out. */
  firstFeature?: number;
}

/** A sequence ready for the language model. */
export interface MaspSequence extends Prompt {
  /** (L) */
  ids: Uint32Array;
  /** Rows of the sources `aspects`, `features` and `prompt` (L each). */
  rows: { aspects: Uint32Array; features: Uint32Array; prompt: Uint32Array };
  /** Positions [start, end) of the answer's labels; empty when there is no answer. */
  answer: [start: number, end: number];
}

/** The text of a chat, with one `<|image_pad|>` for the picture. */
export function chatText(model: TextModel, chat: Chat): string {
  const { question, answer, promptTokens = [], layout = "code" } = chat;
  const prefix = promptTokens.join("");
  const before = prefix && layout === "code" ? [{ type: "text" as const, text: prefix }] : [];
  const messages: Message[] = [
    { role: "system", content: SYSTEM_MESSAGE },
    { role: "user", content: [...before, { type: "image" }, { type: "text", text: prefix + question }] },
  ];
  if (answer !== undefined) messages.push({ role: "assistant", content: answer });
  return model.chatTemplate.render(messages, { addGenerationPrompt: answer === undefined });
}

/**
 * The sequence of a chat.
 *
 * @param rows what stands in the picture block
 * @throws {MaspError} when the text has no picture block or no answer
 */
export function maspSequence(model: TextModel, options: { chat: Chat; rows: PictureRows }): MaspSequence {
  const { chat, rows: { aspects = [], features = 0, firstFeature = 0 } } = options;
  const { tokenizer } = model;
  const ids = tokenizer.encode(chatText(model, chat));
  const [start, end] = findPictureBlock(ids, {
    visionStart: tokenizer.idOf("<|vision_start|>"),
    visionEnd: tokenizer.idOf("<|vision_end|>"),
  });
  const inside = aspects.length + features;
  const removed = end - start - 1;
  const length = ids.length - removed + inside;
  const sequence = {
    ids: new Uint32Array(length),
    rows: {
      aspects: new Uint32Array(length).fill(NO_ROW),
      features: new Uint32Array(length).fill(NO_ROW),
      prompt: new Uint32Array(length).fill(NO_ROW),
    },
  };
  sequence.ids.set(ids.slice(0, start + 1));
  sequence.ids.fill(NO_ROW, start + 1, start + 1 + inside);
  sequence.ids.set(ids.slice(end), start + 1 + inside);
  sequence.rows.aspects.set(aspects, start + 1);
  for (let i = 0; i < features; i++) sequence.rows.features[start + 1 + aspects.length + i] = firstFeature + i;
  const promptRow = new Map((chat.promptTokens ?? []).map((token, row) => [tokenizer.idOf(token), row]));
  for (let t = 0; t < length; t++) {
    const row = promptRow.get(sequence.ids[t]);
    if (row === undefined) continue;
    sequence.rows.prompt[t] = row;
    sequence.ids[t] = NO_ROW;
  }
  let answer: [number, number] = [length, length];
  if (chat.answer !== undefined) {
    const span = findAnswerSpan(ids, { assistant: tokenizer.idOf("assistant"), imEnd: tokenizer.idOf("<|im_end|>") });
    answer = [span[0] - removed + inside, span[1] - removed + inside];
  }
  return { ...sequence, answer };
}
