import { assert, assertAlmostEquals, assertEquals, assertStringIncludes, assertThrows } from "@std/assert";
import { join } from "@std/path";
import { decodePicture } from "../../../pipeline/data/decode_picture.ts";
import { MaspError } from "../../../pipeline/errors.ts";
import { loadPictureProcessor } from "../../../pipeline/qwen2_vl/preprocess/preprocess.ts";
import { loadChatTemplate, type Message } from "../../../pipeline/text/chat_template.ts";
import { encodePrompt, findAnswerSpan, findPictureBlock } from "../../../pipeline/text/prompt_tokens.ts";
import { loadTokenizer } from "../../../pipeline/text/tokenizer.ts";
import { GOLDEN_DIR, goldenCases, goldenTensors } from "../../golden_reader.ts";

interface Sample {
  image: string;
  text: string;
  label: string;
}
interface Step {
  sample: number;
  text: string;
  loss: number;
}
interface Cases {
  stage1: { samples: Sample[] };
  stage2: { train: Sample[]; test: Sample[]; prefix_tokens: string[] };
  eval: { predictions: { text: string }[] };
  [key: string]: unknown;
}

const MODEL_DIR = join(GOLDEN_DIR, "model");
const IMAGE = "<|image_pad|>";
const cases = goldenCases<Cases>();
const golden = goldenTensors();
const tokenizer = await loadTokenizer(MODEL_DIR);
const template = await loadChatTemplate(MODEL_DIR);
const processor = await loadPictureProcessor(MODEL_DIR);
const ids = {
  visionStart: tokenizer.idOf("<|vision_start|>"),
  visionEnd: tokenizer.idOf("<|vision_end|>"),
  assistant: tokenizer.encode("assistant")[0],
  imEnd: tokenizer.idOf("<|im_end|>"),
};

async function visualTokens(image: string): Promise<number> {
  return processor.process(await decodePicture(await Deno.readFile(join(GOLDEN_DIR, image)), { name: image })).tokens;
}

/** The recorded steps of a stage, by case name, e.g. `stage1/step0`. */
function stepsOf(stage: string): [string, Step][] {
  const steps = Object.entries(cases).filter(([key]) => key.startsWith(`${stage}/step`)) as [string, Step][];
  assert(steps.length > 0, `no golden step of ${stage}`);
  return steps;
}

Deno.test("stage 1: messages → text → ids as golden, from the picture file on", async () => {
  for (const [name, step] of stepsOf("stage1")) {
    const { image, text, label } = cases.stage1.samples[step.sample];
    const messages: Message[] = [
      { role: "system", content: "You are a helpful assistant." },
      { role: "user", content: [{ type: "image" }, { type: "text", text }] },
      { role: "assistant", content: [{ type: "text", text: label }] },
    ];
    const prompt = template.render(messages);
    assertEquals(prompt, step.text);
    const encoded = encodePrompt(tokenizer, prompt, { imageToken: IMAGE, imageCounts: [await visualTokens(image)] });
    assertEquals([...encoded], golden.integers(`${name}/input_ids`), name);
  }
});

Deno.test("stage 1: the labels are the answer span: golden loss from golden logits", () => {
  let compared = 0;
  for (const [name, step] of stepsOf("stage1")) {
    if (!golden.has(`${name}/last_logits`)) continue;
    const encoded = golden.integers(`${name}/input_ids`);
    const [start, end] = findAnswerSpan(encoded, ids);
    assertEquals(tokenizer.decode(encoded.slice(start, end)), `\n${cases.stage1.samples[step.sample].label}`);
    const { shape: [rows, columns], data } = golden.f32(`${name}/last_logits`);
    const firstRow = start - 1 - (encoded.length - rows);
    if (firstRow < 0) continue;
    let loss = 0;
    for (let position = start; position < end; position++) {
      const row = data.subarray((firstRow + position - start) * columns, (firstRow + position - start + 1) * columns);
      const largest = Math.max(...row);
      loss += largest + Math.log(row.reduce((sum, logit) => sum + Math.exp(logit - largest), 0)) - row[encoded[position]];
    }
    assertAlmostEquals(loss / (end - start), step.loss, 1e-4, name);
    compared++;
  }
  assert(compared > 0, "no golden step has all its answer rows");
});

Deno.test("the picture block encloses the visual tokens", () => {
  for (const [name] of stepsOf("stage1")) {
    const encoded = golden.integers(`${name}/input_ids`);
    const [start, end] = findPictureBlock(encoded, ids);
    assertEquals([encoded[start], encoded[end]], [ids.visionStart, ids.visionEnd]);
    assertEquals(new Set(encoded.slice(start + 1, end)), new Set([tokenizer.idOf(IMAGE)]));
    assertEquals(encoded.filter((id) => id === tokenizer.idOf(IMAGE)).length, end - start - 1);
  }
});

Deno.test("stage 2 and evaluation: texts with prompt tokens → ids as golden", async () => {
  const prompted = await loadTokenizer(MODEL_DIR);
  prompted.addSpecialTokens(cases.stage2.prefix_tokens);
  const check = async (name: string, text: string, image: string) => {
    const encoded = encodePrompt(prompted, text, { imageToken: IMAGE, imageCounts: [await visualTokens(image)] });
    assertEquals([...encoded], golden.integers(name), name);
  };
  for (const [name, step] of stepsOf("stage2")) {
    await check(`${name}/input_ids`, step.text, cases.stage2.train[step.sample].image);
  }
  for (const [k, { text }] of cases.eval.predictions.entries()) await check(`eval/${k}/input_ids`, text, cases.stage2.test[k].image);
});

Deno.test("plain Qwen2-VL: texts → ids as golden", () => {
  const names = golden.names("qwen2vl/").filter((name) => name.endsWith("/input_ids"));
  assert(names.length > 0);
  for (const name of names) {
    const key = name.slice(0, -"/input_ids".length);
    const [, rows, columns] = golden.integers(`${key}/grid_thw`);
    const { text } = cases[key] as { text: string };
    const encoded = encodePrompt(tokenizer, text, { imageToken: IMAGE, imageCounts: [rows * columns / 4] });
    assertEquals([...encoded], golden.integers(name));
  }
});

Deno.test("prompts without picture, answer or with too many pictures are errors", () => {
  const options = { imageToken: IMAGE, imageCounts: [4] };
  assertStringIncludes(
    assertThrows(() => encodePrompt(tokenizer, `${IMAGE} and ${IMAGE}`, options), MaspError).message,
    "names 2 picture(s)",
  );
  assertThrows(() => findPictureBlock(tokenizer.encode("no picture"), ids), MaspError, "no picture block");
  assertThrows(() => findAnswerSpan(tokenizer.encode("<|im_start|>user\nhi<|im_end|>\n"), ids), MaspError, "no answer");
});

Deno.test("the last of several assistant turns is the answer", () => {
  const text = "<|im_start|>assistant\nno<|im_end|>\n<|im_start|>user\nassistant?<|im_end|>\n<|im_start|>assistant\nyes<|im_end|>\n";
  const encoded = tokenizer.encode(text);
  assertEquals(tokenizer.decode(encoded.slice(...findAnswerSpan(encoded, ids))), "\nyes");
});
