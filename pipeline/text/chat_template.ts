import type { Template } from "@huggingface/jinja";
import { join } from "@std/path";
import { MaspError } from "../errors.ts";
import { readOptionalJson } from "../read_json.ts";

/** A part of a message: the place of a picture, or text. */
export type MessagePart = { type: "image" } | { type: "text"; text: string };

/** One turn of a conversation. */
export interface Message {
  /** `system`, `user` or `assistant`. */
  role: string;
  /** Text, or pictures and text in their order. */
  content: string | MessagePart[];
}

/** Options of {@linkcode ChatTemplate.render}. */
export interface RenderOptions {
  /** Ends the text with the beginning of the assistant's turn. Default: false. */
  addGenerationPrompt?: boolean;
}

/** A checkpoint's chat template: messages → prompt text. {@linkcode loadChatTemplate} makes one. */
export class ChatTemplate {
  readonly #template: Template;

  /**
   * Wraps a compiled template.
   *
   * @param template The compiled Jinja template.
   */
  constructor(template: Template) {
    this.#template = template;
  }

  /**
   * The prompt text of a conversation. A picture becomes `<|vision_start|><|image_pad|><|vision_end|>` with the published templates.
   *
   * @param messages The turns, oldest first.
   * @param options See {@linkcode RenderOptions}.
   * @throws {MaspError} When the template rejects the messages.
   */
  render(messages: Message[], options: RenderOptions = {}): string {
    try {
      return this.#template.render({ messages, add_generation_prompt: options.addGenerationPrompt ?? false });
    } catch (cause) {
      throw new MaspError(`The checkpoint's chat template failed: ${(cause as Error).message}; check chat_template.json`, { cause });
    }
  }
}

/**
 * Reads the chat template of a checkpoint folder: `chat_template.jinja`, else `chat_template.json`, else the entry of `tokenizer_config.json`.
 *
 * @param dir Checkpoint folder.
 * @throws {MaspError} When there is none, or its syntax is wrong.
 */
export async function loadChatTemplate(dir: string): Promise<ChatTemplate> {
  const source = await readSource(dir);
  if (source === undefined) {
    throw new MaspError(
      `Cannot load "${dir}": there is no chat template (chat_template.jinja, chat_template.json or chat_template in tokenizer_config.json); ` +
        `copy chat_template.json from the published checkpoint`,
    );
  }
  const { Template } = await import("@huggingface/jinja");
  try {
    return new ChatTemplate(new Template(source));
  } catch (cause) {
    throw new MaspError(`Cannot load "${dir}": its chat template has wrong syntax (${(cause as Error).message}); copy it again`, { cause });
  }
}

async function readSource(dir: string): Promise<string | undefined> {
  try {
    return await Deno.readTextFile(join(dir, "chat_template.jinja"));
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
  }
  for (const file of ["chat_template.json", "tokenizer_config.json"]) {
    const source = selectTemplate((await readOptionalJson(join(dir, file)))?.chat_template);
    if (source !== undefined) return source;
  }
  return undefined;
}

/** The entry is a template, or a list of named ones of which "default" counts. */
function selectTemplate(entry: unknown): string | undefined {
  if (typeof entry === "string") return entry;
  if (!Array.isArray(entry)) return undefined;
  const named = entry as { name?: string; template?: string }[];
  return named.find(({ name }) => name === "default")?.template;
}
