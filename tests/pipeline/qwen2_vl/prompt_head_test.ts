/** Generation and scores: with the kept head of the prompts and without it, and against passes over whole sequences. */
import { assert, assertAlmostEquals, assertEquals, assertLess, assertRejects } from "@std/assert";
import { MaspError } from "../../../pipeline/errors.ts";
import type { Tensor } from "../../../kernels/tensor.ts";
import type { Qwen2Vl } from "../../../pipeline/load.ts";
import { maspSequence } from "../../../pipeline/masp_sequence.ts";
import { Generator } from "../../../pipeline/qwen2_vl/generate.ts";
import { NO_ROW } from "../../../pipeline/qwen2_vl/language_model.ts";
import { FILLED_AT_ONCE } from "../../../pipeline/qwen2_vl/network.ts";
import type { Prompt } from "../../../pipeline/qwen2_vl/prompt.ts";
import { headOf, PromptHead, withoutHead } from "../../../pipeline/qwen2_vl/prompt_head.ts";
import { randomFloats, relativeError } from "../../kernels/support.ts";
import { modelTest } from "../stages/support.ts";

const ASPECTS = 7;

/** A question about a picture of so many visual tokens. */
function promptOf(model: Qwen2Vl, features: number, question = "What does this picture evoke?"): Prompt {
  const aspects = Array.from({ length: ASPECTS }, (_, i) => i);
  const { ids, rows } = maspSequence(model, { chat: { question }, rows: { aspects, features } });
  return { ids, rows: { aspects: rows.aspects, features: rows.features } };
}

/** The same prompt with its positions written out, which a kept head is not used for. */
function whole(prompt: Prompt, more: readonly number[] = []): Prompt {
  const ids = Uint32Array.of(...Array.from(prompt.ids), ...more);
  const rows = Object.fromEntries(
    Object.entries(prompt.rows!).map(([name, index]) => [name, Uint32Array.of(...Array.from(index), ...more.map(() => NO_ROW))]),
  );
  return { ids, rows, positions: Uint32Array.from({ length: 3 * ids.length }, (_, i) => Math.floor(i / 3)) };
}

function generatorOf(model: Qwen2Vl, maxNewTokens = 4): { generator: Generator } & Disposable {
  const { gpu, network } = model;
  const { hidden } = network.config.text;
  const tensor = (rows: number, seed: number) => gpu.tensor([rows, hidden], { data: randomFloats(rows * hidden, seed, { scale: 0.5 }) });
  const sources = { aspects: tensor(ASPECTS, 1), features: tensor(64, 2) };
  const generator = new Generator(network, { maxNewTokens, eosIds: [], sources });
  return {
    generator,
    [Symbol.dispose]() {
      generator[Symbol.dispose]();
      gpu.destroy(...Object.values(sources));
    },
  };
}

modelTest("prompt head: the tokens before the first row that no vocabulary fills", (model) => {
  const prompt = promptOf(model, 3);
  const head = headOf(prompt.ids);
  assertEquals(
    model.tokenizer.decode(head),
    "<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n<|im_start|>user\n<|vision_start|>",
  );
  const rest = withoutHead(prompt, head.length);
  assertEquals([...Array.from(rest.ids)], Array.from(prompt.ids).slice(head.length));
  assertEquals(Array.from(rest.rows!.features).slice(0, ASPECTS + 3), [...Array<number>(ASPECTS).fill(NO_ROW), 0, 1, 2]);
  assertEquals(headOf([1, 2, 3]), []);
  assertEquals(withoutHead(prompt, 0), prompt);
  return Promise.resolve();
});

modelTest("prompt head: answers and logits with and without it", async (model) => {
  using made = generatorOf(model);
  for (const features of [12, 25, 40, 12]) { // other shapes in between: the caches grow and plans are made anew
    const prompt = promptOf(model, features);
    const kept = await made.generator.generate([prompt], { logits: true });
    const full = await made.generator.generate([whole(prompt)], { logits: true });
    assertEquals(kept.tokens, full.tokens);
    assertEquals(kept.tokens[0].length, 4);
    assertLess(relativeError(kept.logits![0], full.logits![0]), 1e-5);
  }
});

modelTest("generation: passes over any numbers of prompts, in any order", async (model) => {
  using made = generatorOf(model, 2);
  const prompt = promptOf(model, 4);
  const answers = async (count: number) => (await made.generator.generate(Array<Prompt>(count).fill(prompt))).tokens;
  const [alone] = await answers(1);
  for (const count of [20, ...Array.from({ length: 18 }, (_, i) => i + 1), 20]) {
    assertEquals(await answers(count), Array(count).fill(alone), `${count} prompts`);
  }
});

modelTest("generation: positions that no sequence had before turn keys and queries as the first do", async (model) => {
  using made = generatorOf(model);
  const prompt = whole(promptOf(model, 3));
  const { logits: [expected] } = await made.generator.generate([prompt], { logits: true }) as { logits: Float32Array[] };
  const { gpu, network: { rotary: { table } } } = model;
  const far = 3 * FILLED_AT_ONCE - prompt.ids.length - 1; // the answer's tokens come to lie behind a step of the table
  const sines = (tensor: Tensor) => gpu.readFloats(tensor.view([64, tensor.shape[1], 2], (3 * FILLED_AT_ONCE - 64) * tensor.shape[1] * 8));
  assert((await sines(table)).every((value) => value === 0), "nothing has asked for them yet");
  const moved = { ...prompt, positions: Array.from(prompt.positions!, (position) => position + far) };
  const { logits: [actual] } = await made.generator.generate([moved], { logits: true }) as { logits: Float32Array[] };
  assertLess(relativeError(actual, expected), 1e-3); // what counts is how far they are apart, but angles are rounded to f32
  assert((await sines(table)).some((value) => value !== 0));
});

modelTest("generation: a sequence with more positions than the model has is refused", async (model) => {
  using made = generatorOf(model);
  const prompt = whole(promptOf(model, 3));
  const { maxPositions } = model.network;
  const moved = (by: number) => ({ ...prompt, positions: Array.from(prompt.positions!, (position) => position + by) });
  const last = maxPositions - prompt.ids.length - 4; // the answer takes four
  await assertRejects(() => made.generator.generate([moved(last + 1)]), MaspError, "max_position_embeddings");
  await made.generator.generate([moved(last)]);
});

modelTest("generation: several prompts in one pass give what each gives alone", async (model) => {
  using made = generatorOf(model);
  const prompts = [promptOf(model, 12), promptOf(model, 25, "Where is this?"), promptOf(model, 9, "Who?")];
  const together = await made.generator.generate(prompts, { logits: true });
  for (const [i, prompt] of prompts.entries()) {
    const { tokens, logits } = await made.generator.generate([prompt], { logits: true });
    assertEquals(together.tokens[i], tokens[0]);
    assertLess(relativeError(together.logits![i], logits![0]), 1e-5);
  }
});

modelTest("generation: greedy tokens are those of passes over the whole sequence", async (model) => {
  using made = generatorOf(model, 5);
  const prompt = promptOf(model, 14);
  const { tokens: [tokens] } = await made.generator.generate([prompt]);
  for (let i = 0; i < tokens.length; i++) {
    const { logits } = await made.generator.generate([whole(prompt, tokens.slice(0, i))], { logits: true });
    assertEquals(tokens[i], logits![0].indexOf(Math.max(...logits![0])));
  }
});

modelTest("scores: the sum of log-probabilities of passes over the whole sequence", async (model) => {
  using made = generatorOf(model);
  const prompt = promptOf(model, 25);
  const continuations = ["fear", "contentment", "very low"].map((
    text,
  ) => [...model.tokenizer.encode(text), model.tokenizer.idOf("<|im_end|>")]);
  continuations.push([continuations[0][0]]);
  assert(new Set(continuations.map(({ length }) => length)).size > 1, "all have the same length: the test would see little");
  const { scores, tokens } = await made.generator.score(prompt, continuations);
  for (const [c, ids] of continuations.entries()) {
    let sum = 0;
    for (const [i, id] of ids.entries()) {
      const { logits } = await made.generator.generate([whole(prompt, ids.slice(0, i))], { logits: true });
      sum += logits![0][id] - Math.log(logits![0].reduce((total, x) => total + Math.exp(x), 0));
    }
    assertAlmostEquals(scores[c], sum, 1e-4 * Math.max(1, Math.abs(sum)));
  }
  assertEquals(tokens, (await made.generator.generate([prompt])).tokens[0]);
});

modelTest("prompt head: another head of another length with the same aligned end is noticed", (model) => {
  using head = new PromptHead(model.network);
  const a = head.prepare([5, 6, 7], 32);
  const same = head.prepare([5, 6, 7], 32);
  const b = head.prepare([5, 6, 7, 8], 32);
  assertEquals(same.generation, a.generation);
  assertEquals([a.end - a.first, b.end - b.first], [3, 4]);
  if (a.end === b.end) assert(a.generation !== b.generation, "plans of the former head would be used on");
  return Promise.resolve();
});
