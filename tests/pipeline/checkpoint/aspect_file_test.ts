import { assertEquals, assertRejects } from "@std/assert";
import { type AspectParameters, readAspectFile, writeAspectFile } from "../../../pipeline/checkpoint/aspect_file.ts";
import { writeSafetensors } from "../../../pipeline/checkpoint/safetensors.ts";
import type { TensorData } from "../../../pipeline/checkpoint/tensor_data.ts";
import { readTorchFile, type TorchValue, writeTorchFile } from "../../../pipeline/checkpoint/torch_file.ts";
import { MaspError } from "../../../pipeline/errors.ts";
import { GOLDEN_DIR, goldenTensors } from "../../golden_reader.ts";
import { randomNumbers, temporaryFolder } from "./support.ts";

function randomAspects(views: string[], tokens: number, hidden: number): AspectParameters {
  const random = randomNumbers(tokens * hidden);
  const numbers = (length: number) => Float32Array.from({ length }, () => random() - 0.5);
  return {
    views,
    tokens,
    hidden,
    queries: new Map(views.map((view) => [view, numbers(tokens * hidden)])),
    attention: new Map(views.map((view) => [view, {
      inProjWeight: numbers(3 * hidden * hidden),
      inProjBias: numbers(3 * hidden),
      outProjWeight: numbers(hidden * hidden),
      outProjBias: numbers(hidden),
    }])),
  };
}

Deno.test("aspect file: the reference's file holds the golden values after stage 1", async () => {
  const golden = goldenTensors();
  const aspects = await readAspectFile(`${GOLDEN_DIR}/aspect.pth`);
  const [tokens, hidden] = golden.get(`stage1/final/q_view.${aspects.views[0]}`).shape;
  assertEquals([aspects.tokens, aspects.hidden], [tokens, hidden]);
  assertEquals(golden.names("stage1/final/q_view.").length, aspects.views.length);
  for (const view of aspects.views) {
    const final = (name: string) => golden.f32(`stage1/final/${name}`).data;
    const { inProjWeight, inProjBias, outProjWeight, outProjBias } = aspects.attention.get(view)!;
    assertEquals(aspects.queries.get(view), final(`q_view.${view}`));
    assertEquals(inProjWeight, final(`cross_attn.${view}.in_proj_weight`));
    assertEquals(inProjBias, final(`cross_attn.${view}.in_proj_bias`));
    assertEquals(outProjWeight, final(`cross_attn.${view}.out_proj.weight`));
    assertEquals(outProjBias, final(`cross_attn.${view}.out_proj.bias`));
  }
});

Deno.test("aspect file: both forms give back what was written, the order of the views included", async () => {
  using dir = temporaryFolder();
  for (
    const aspects of [
      randomAspects(["scene", "a.b", "brightness"], 5, 6),
      randomAspects(["x"], 1, 1),
      await readAspectFile(`${GOLDEN_DIR}/aspect.pth`),
    ]
  ) {
    for (const name of ["aspect.pth", "aspect.pt", "aspect.safetensors"]) {
      await writeAspectFile(dir.file(name), aspects);
      assertEquals(await readAspectFile(dir.file(name)), aspects);
    }
  }
});

Deno.test("aspect file: the written torch file has the reference's structure", async () => {
  using dir = temporaryFolder();
  await writeAspectFile(dir.file("aspect.pth"), randomAspects(["scene"], 5, 4));
  const value = await readTorchFile(dir.file("aspect.pth")) as Map<string, Map<string, Map<string, TensorData>>>;
  assertEquals([...value.keys()], ["q_view", "cross_attn", "fuser"]);
  assertEquals(value.get("fuser"), null as never);
  const shapes = [...value.get("cross_attn")!.get("scene")!].map(([name, { shape }]) => [name, shape]);
  assertEquals(shapes, [["in_proj_weight", [12, 4]], ["in_proj_bias", [12]], ["out_proj.weight", [4, 4]], ["out_proj.bias", [4]]]);
});

Deno.test("aspect file: what does not fit is listed at once, with what was found and what was expected", async () => {
  using dir = temporaryFolder();
  const f32 = (...shape: number[]): TensorData => ({ dtype: "F32", shape, data: new Float32Array(shape.reduce((a, b) => a * b, 1)) });
  const module = { in_proj_weight: f32(12, 4), in_proj_bias: f32(12), "out_proj.weight": f32(4, 4), "out_proj.bias": f32(4) };
  const named = (extra: Record<string, TensorData>) => ({
    "q_view.a": f32(5, 4),
    ...Object.fromEntries(Object.entries(module).map(([name, tensor]) => [`cross_attn.a.${name}`, tensor])),
    ...extra,
  });
  const path = dir.file("aspect.safetensors");
  await writeSafetensors(path, named({ "cross_attn.a.in_proj_weight": f32(3, 4), "cross_attn.a.bias_k": f32(1), "q_view.b": f32(4, 4) }));
  const error = await assertRejects(() => readAspectFile(path), MaspError, `Cannot load "${path}"`);
  for (
    const fault of [
      "cross_attn.a.in_proj_weight has shape (3, 4), expected (12, 4)",
      "q_view.b has shape (4, 4), expected (5, 4)",
      "cross_attn.b.out_proj.bias is missing, expected (4,)",
      "cross_attn.a.bias_k is not expected",
    ]
  ) assertEquals(error.message.split(fault).length, 2, `${fault} in ${error.message}`);
  await writeSafetensors(path, named({ "cross_attn.a.in_proj_bias": { dtype: "I32", shape: [12], data: new Int32Array(12) } }));
  await assertRejects(() => readAspectFile(path), MaspError, "cross_attn.a.in_proj_bias has elements of type I32, expected floats");
  await writeSafetensors(path, { prefix: f32(3, 4) });
  await assertRejects(() => readAspectFile(path), MaspError, "it holds no view");

  const torch = dir.file("aspect.pth");
  const reference = (changes: [string, TorchValue][]) =>
    new Map<string, TorchValue>([
      ["q_view", new Map([["a", f32(5, 4)]])],
      ["cross_attn", new Map([["a", new Map(Object.entries(module))]])],
      ...changes,
    ]);
  const cases: [TorchValue, string][] = [
    [f32(2), "its content is a tensor F32 (2), expected a dict"],
    [new Map([["<|reserved_special_token_0|>", f32(4)]]), "q_view is None, expected a dict"],
    [reference([["fuser", f32(1)]]), "fuser is a tensor F32 (1), expected None"],
    [reference([["q_view", new Map([["a", "text"]])]]), 'q_view.a is the string "text", expected a tensor'],
    [reference([["q_view", new Map([["a", f32(20)]])]]), "q_view.a is a tensor F32 (20), expected a tensor (tokens, hidden size)"],
    [reference([["q_view", new Map([["b", f32(5, 4)]])]]), "cross_attn.b.in_proj_weight is missing"],
  ];
  for (const [value, message] of cases) {
    await writeTorchFile(torch, value);
    await assertRejects(() => readAspectFile(torch), MaspError, message);
  }
  await assertRejects(() => readAspectFile("aspect.bin"), MaspError, 'has the extension ".bin", expected .safetensors, .pth or .pt');
  await assertRejects(() => writeAspectFile(path, { ...randomAspects(["a"], 5, 4), tokens: 6 }), MaspError, "has 80 bytes, expected 96");
});
