import { assertEquals, assertRejects, assertStringIncludes, assertThrows } from "@std/assert";
import { join } from "@std/path";
import { MaspError } from "../../../pipeline/errors.ts";
import { loadChatTemplate, type Message } from "../../../pipeline/text/chat_template.ts";
import { GOLDEN_DIR } from "../../golden_reader.ts";

/** The template that Qwen2-VL's checkpoints are published with. */
const PUBLISHED = "{% set image_count = namespace(value=0) %}{% set video_count = namespace(value=0) %}{% for message in messages %}" +
  "{% if loop.first and message['role'] != 'system' %}<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n{% endif %}" +
  "<|im_start|>{{ message['role'] }}\n{% if message['content'] is string %}{{ message['content'] }}<|im_end|>\n{% else %}" +
  "{% for content in message['content'] %}{% if content['type'] == 'image' or 'image' in content or 'image_url' in content %}" +
  "{% set image_count.value = image_count.value + 1 %}{% if add_vision_id %}Picture {{ image_count.value }}: {% endif %}" +
  "<|vision_start|><|image_pad|><|vision_end|>{% elif content['type'] == 'video' or 'video' in content %}" +
  "{% set video_count.value = video_count.value + 1 %}{% if add_vision_id %}Video {{ video_count.value }}: {% endif %}" +
  "<|vision_start|><|video_pad|><|vision_end|>{% elif 'text' in content %}{{ content['text'] }}{% endif %}{% endfor %}<|im_end|>\n" +
  "{% endif %}{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}";

const user: Message = { role: "user", content: [{ type: "image" }, { type: "text", text: "What is {{ this }} & <that>?" }] };
const SYSTEM = "<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n";
const USER = "<|im_start|>user\n<|vision_start|><|image_pad|><|vision_end|>What is {{ this }} & <that>?<|im_end|>\n";

async function folderWith(files: Record<string, string>): Promise<string> {
  const dir = await Deno.makeTempDir();
  for (const [name, text] of Object.entries(files)) await Deno.writeTextFile(join(dir, name), text);
  return dir;
}

const folders: Record<string, () => Promise<string>> = {
  "the golden model's": () => Promise.resolve(join(GOLDEN_DIR, "model")),
  "the published (chat_template.json)": () => folderWith({ "chat_template.json": JSON.stringify({ chat_template: PUBLISHED }) }),
  "the published (tokenizer_config.json)": () => folderWith({ "tokenizer_config.json": JSON.stringify({ chat_template: PUBLISHED }) }),
  "the published (list of named ones)": () =>
    folderWith({
      "tokenizer_config.json": JSON.stringify({
        chat_template: [{ name: "tool_use", template: "wrong" }, { name: "default", template: PUBLISHED }],
      }),
    }),
  "the published (chat_template.jinja)": () =>
    folderWith({ "chat_template.jinja": PUBLISHED, "chat_template.json": JSON.stringify({ chat_template: "wrong" }) }),
};

for (const [name, folder] of Object.entries(folders)) {
  Deno.test(`chat template, ${name}: conversations as text`, async () => {
    const template = await loadChatTemplate(await folder());
    assertEquals(template.render([user], { addGenerationPrompt: true }), `${SYSTEM}${USER}<|im_start|>assistant\n`);
    const system: Message = { role: "system", content: "Be brief." };
    const answer: Message = { role: "assistant", content: [{ type: "text", text: "awe" }] };
    assertEquals(
      template.render([system, user, answer]),
      `<|im_start|>system\nBe brief.<|im_end|>\n${USER}<|im_start|>assistant\nawe<|im_end|>\n`,
    );
  });
}

Deno.test("a chat template that is missing, broken or rejects the messages is an error", async () => {
  const missing = await assertRejects(async () => loadChatTemplate(await folderWith({})), MaspError);
  assertStringIncludes(missing.message, "there is no chat template");
  const broken = await folderWith({ "chat_template.jinja": "{% for m in messages %}" });
  assertStringIncludes((await assertRejects(() => loadChatTemplate(broken), MaspError)).message, "wrong syntax");
  const strict = await loadChatTemplate(await folderWith({ "chat_template.jinja": "{{ raise_exception('no pictures') }}" }));
  assertStringIncludes(assertThrows(() => strict.render([user]), MaspError).message, "no pictures");
});
