/** Text and token ids of a chat against the recorded ones. */
import { type Chat, chatText } from "../masp_sequence.ts";
import { encodePrompt } from "../text/prompt_tokens.ts";
import type { GoldenContext } from "./model_cases.ts";

/** Where a comparison belongs. */
export interface Place {
  /** Group of cases. */
  case: string;
  /** Name inside it. */
  name: string;
}

/**
 * Compares a step's text and ids.
 *
 * @param args step: the case with the recorded text; visualTokens: how often the picture's token stands in the ids
 */
export function compareText(
  { folder, model, comparison }: GoldenContext,
  args: { place: Place; step: string; chat: Chat; visualTokens: number },
): void {
  const { place, step, chat, visualTokens } = args;
  const text = chatText(model, chat);
  const recorded = folder.case<{ text?: string }>(step)?.text;
  if (recorded !== undefined) comparison.equal({ ...place, group: "text" }, { actual: text, expected: recorded });
  const actual = encodePrompt(model.tokenizer, text, { imageToken: "<|image_pad|>", imageCounts: [visualTokens] });
  comparison.equal({ ...place, group: "input_ids" }, { actual, expected: folder.numbers(`${step}/input_ids`) });
}
