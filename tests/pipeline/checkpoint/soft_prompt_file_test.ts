import { assertEquals, assertRejects } from "@std/assert";
import { writeSafetensors } from "../../../pipeline/checkpoint/safetensors.ts";
import {
  promptToken,
  readSoftPromptFile,
  type SoftPromptParameters,
  writeSoftPromptFile,
} from "../../../pipeline/checkpoint/soft_prompt_file.ts";
import type { TensorData } from "../../../pipeline/checkpoint/tensor_data.ts";
import { readTorchFile, type TorchValue, writeTorchFile } from "../../../pipeline/checkpoint/torch_file.ts";
import { MaspError } from "../../../pipeline/errors.ts";
import { GOLDEN_DIR, goldenTensors } from "../../golden_reader.ts";
import { randomNumbers, temporaryFolder } from "./support.ts";

function randomPrompt(count: number, hidden: number): SoftPromptParameters {
  const random = randomNumbers(count);
  const rows = Float32Array.from({ length: count * hidden }, () => random() - 0.5);
  return { rows, count, hidden, tokens: Array.from({ length: count }, (_, i) => promptToken(i)) };
}

Deno.test("soft prompt file: the reference's file holds the golden values after stage 2", async () => {
  const prefix = goldenTensors().f32("stage2/final/prefix");
  const prompt = await readSoftPromptFile(`${GOLDEN_DIR}/soft_prompt.pt`);
  assertEquals([prompt.count, prompt.hidden], prefix.shape);
  assertEquals(prompt.rows, prefix.data);
  assertEquals([prompt.tokens[0], prompt.tokens.length], ["<|reserved_special_token_0|>", prompt.count]);
});

Deno.test("soft prompt file: both forms give back what was written", async () => {
  using dir = temporaryFolder();
  for (const prompt of [randomPrompt(32, 6), randomPrompt(1, 1), randomPrompt(8, 16)]) {
    for (const name of ["prompt.pt", "prompt.pth", "prompt.safetensors"]) {
      await writeSoftPromptFile(dir.file(name), prompt);
      assertEquals(await readSoftPromptFile(dir.file(name)), prompt);
    }
  }
  const tuning = { layout: "paper", views: ["scene", "object"] };
  await writeSoftPromptFile(dir.file("tuned.safetensors"), { ...randomPrompt(2, 4), tuning });
  assertEquals((await readSoftPromptFile(dir.file("tuned.safetensors"))).tuning, tuning);
  const value = await readTorchFile(dir.file("prompt.pt")) as Map<string, TensorData>;
  assertEquals([...value].map(([name, { shape }]) => [name, shape]), Array.from({ length: 8 }, (_, i) => [promptToken(i), [16]]));
});

Deno.test("soft prompt file: rows are in the order of the tokens' numbers, whatever the file's order; bf16 is widened", async () => {
  using dir = temporaryFolder();
  const row = (value: number): TensorData => ({ dtype: "BF16", shape: [2], data: new Uint16Array(2).fill(value) });
  const order = [10, 2, 0, 1, 9, 3, 4, 5, 6, 7, 8];
  await writeTorchFile(dir.file("a.pt"), new Map(order.map((i) => [promptToken(i), row(0x3f80 + i)])));
  const { rows, tokens } = await readSoftPromptFile(dir.file("a.pt"));
  assertEquals([...rows], Array.from({ length: 22 }, (_, i) => 1 + Math.floor(i / 2) / 128));
  assertEquals(tokens[10], promptToken(10));
});

Deno.test("soft prompt file: what does not fit is named with what was expected", async () => {
  using dir = temporaryFolder();
  const f32 = (...shape: number[]): TensorData => ({ dtype: "F32", shape, data: new Float32Array(shape.reduce((a, b) => a * b, 1)) });
  const path = dir.file("a.pt");
  const cases: [TorchValue, string][] = [
    [new Map(), "it holds an empty dict, expected a dict of vectors"],
    [[f32(2)], "it holds a list"],
    [new Map([["q_view", f32(2)]]), "it names q_view, expected 1 vectors <|reserved_special_token_0|> to"],
    [new Map([[promptToken(0), f32(2)], [promptToken(2), f32(2)]]), "it names <|reserved_special_token_2|>, expected 2 vectors"],
    [
      new Map([[promptToken(0), f32(2)], [promptToken(1), f32(3)]]),
      "<|reserved_special_token_1|> is a tensor F32 (3), expected a vector (2,)",
    ],
    [new Map([[promptToken(0), f32(2, 2)]]), "is a tensor F32 (2, 2), expected a vector of the hidden size"],
    [new Map<string, TorchValue>([[promptToken(0), "text"]]), 'is the string "text", expected a vector'],
    [new Map([[promptToken(0), { dtype: "I64" as const, shape: [1], data: new BigInt64Array(1) }]]), "has elements of type I64"],
  ];
  for (const [value, message] of cases) {
    await writeTorchFile(path, value);
    const error = await assertRejects(() => readSoftPromptFile(path), MaspError, message);
    assertEquals(error.message.startsWith(`Cannot load "${path}": `), true);
  }
  await writeSafetensors(dir.file("b.safetensors"), { prefix: f32(2, 2), other: f32(1) });
  await assertRejects(() => readSoftPromptFile(dir.file("b.safetensors")), MaspError, 'expected "prefix" alone');
  await writeSafetensors(dir.file("b.safetensors"), { prefix: f32(4) });
  await assertRejects(
    () => readSoftPromptFile(dir.file("b.safetensors")),
    MaspError,
    "prefix has shape (4,), expected (tokens, hidden size)",
  );
  await assertRejects(
    () => writeSoftPromptFile(path, { ...randomPrompt(2, 3), hidden: 4 }),
    MaspError,
    "6 values for 2 tokens, expected 2·4 for 2",
  );
  await assertRejects(() => readSoftPromptFile("prompt.npz"), MaspError, 'has the extension ".npz"');
});
