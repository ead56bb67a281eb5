import { assert, assertEquals, assertMatch, assertRejects, assertThrows } from "@std/assert";
import { canonicalName, type ModelFolder, openModelFolder } from "../../../pipeline/checkpoint/model_folder.ts";
import { writeSafetensors } from "../../../pipeline/checkpoint/safetensors.ts";
import type { TensorData } from "../../../pipeline/checkpoint/tensor_data.ts";
import { MaspError } from "../../../pipeline/errors.ts";
import { GOLDEN_DIR } from "../../golden_reader.ts";
import { PROJECT, temporaryFolder } from "./support.ts";

const tensor = (...shape: number[]): TensorData => ({ dtype: "BF16", shape, data: new Uint16Array(shape.reduce((a, b) => a * b, 1)) });

/** A folder with the files beside the weights; each may be left out. */
function folder(without: string[] = []) {
  const dir = temporaryFolder();
  for (const name of ["config.json", "tokenizer.json", "preprocessor_config.json"]) {
    if (!without.includes(name)) Deno.writeTextFileSync(dir.file(name), '{"hidden_size": 4}');
  }
  return dir;
}

const index = (map: unknown) => JSON.stringify({ metadata: { total_size: 0 }, weight_map: map });
const shapes = (model: ModelFolder) => new Map(model.names().map((name) => [name, model.tensor(name)!.shape]));

Deno.test("model folder: shards with an index, and one file", async () => {
  using golden = await openModelFolder(`${GOLDEN_DIR}/model`);
  assertEquals(golden.config["model_type"], "qwen2_vl");
  assertEquals(golden.tensor("lm_head.weight")?.shape, [684, 128]);
  assertMatch(golden.tensor("visual.patch_embed.proj.weight")!.file.path, /model-0000\d-of-00002\.safetensors$/);
  assertEquals(golden.tensor("visual.nothing"), undefined);
  assertEquals(golden.checkTensors(shapes(golden)), []);
  using demo = await openModelFolder(`${PROJECT}/demo/model`);
  assert(demo.names().includes("model.embed_tokens.weight"));
});

Deno.test("model folder: both key namings give the published names", async () => {
  const names: Record<string, string> = {
    "model.language_model.embed_tokens.weight": "model.embed_tokens.weight",
    "model.language_model.layers.0.mlp.up_proj.weight": "model.layers.0.mlp.up_proj.weight",
    "model.visual.blocks.1.norm1.bias": "visual.blocks.1.norm1.bias",
    "lm_head.weight": "lm_head.weight",
    "model.norm.weight": "model.norm.weight",
    "visual.merger.ln_q.weight": "visual.merger.ln_q.weight",
  };
  assertEquals(Object.keys(names).map(canonicalName), Object.values(names));
  using dir = folder();
  await writeSafetensors(dir.file("model.safetensors"), Object.fromEntries(Object.keys(names).map((name, i) => [name, tensor(i + 1)])));
  using model = await openModelFolder(dir.path);
  assertEquals(model.names(), Object.values(names).sort());
  for (const [stored, canonical] of Object.entries(names)) {
    const { file, name, dtype } = model.tensor(canonical)!;
    assertEquals([name, dtype, file.read(name).length], [stored, "BF16", 2 * (Object.keys(names).indexOf(stored) + 1)]);
  }
});

Deno.test("model folder: one error names every missing file", async () => {
  using dir = folder(["tokenizer.json", "config.json"]);
  Deno.writeTextFileSync(
    dir.file("model.safetensors.index.json"),
    index({ a: "model-1.safetensors", b: "model-2.safetensors", c: "model-3.safetensors" }),
  );
  await writeSafetensors(dir.file("model-2.safetensors"), { b: tensor(1) });
  const error = await assertRejects(() => openModelFolder(dir.path), MaspError);
  assertEquals(
    error.message,
    `Cannot load "${dir.path}": config.json is missing; tokenizer.json is missing; ` +
      "model-1.safetensors (named by model.safetensors.index.json) is missing; model-3.safetensors (named by model.safetensors.index.json) is missing; " +
      "download or copy the checkpoint again",
  );
  using bare = folder();
  await assertRejects(() => openModelFolder(bare.path), MaspError, "model.safetensors or model.safetensors.index.json is missing");
  await assertRejects(() => openModelFolder(bare.file("none")), MaspError, "there is no such folder");
  await assertRejects(() => openModelFolder(bare.path, { requiredFiles: ["merges.txt"] }), MaspError, "merges.txt is missing");
});

Deno.test("model folder: an index that does not fit its shards", async () => {
  using dir = folder();
  await writeSafetensors(dir.file("model-1.safetensors"), { a: tensor(1) });
  const withIndex = (content: string) => {
    Deno.writeTextFileSync(dir.file("model.safetensors.index.json"), content);
    return openModelFolder(dir.path);
  };
  await assertRejects(
    () => withIndex(index({ a: "model-1.safetensors", b: "model-1.safetensors" })),
    MaspError,
    "b is not in model-1.safetensors, where model.safetensors.index.json places it",
  );
  await assertRejects(() => withIndex(index({ a: "../model-1.safetensors" })), MaspError, "expected the name of a file in the same folder");
  await assertRejects(() => withIndex(index({ a: 5 })), MaspError, "a is 5, expected the name of a file");
  await assertRejects(() => withIndex("{}"), MaspError, "weight_map is missing, expected an object");
  await assertRejects(() => withIndex("{"), MaspError, "it is no JSON");
});

Deno.test("model folder: a tensor under both namings is an error", async () => {
  using dir = folder();
  await writeSafetensors(dir.file("model.safetensors"), { "model.norm.weight": tensor(1), "model.language_model.norm.weight": tensor(1) });
  await assertRejects(() => openModelFolder(dir.path), MaspError, "are the same tensor");
});

Deno.test("model folder: a truncated shard is named with its bytes", async () => {
  using dir = folder();
  await writeSafetensors(dir.file("model.safetensors"), { a: tensor(64) });
  const bytes = Deno.readFileSync(dir.file("model.safetensors"));
  Deno.writeFileSync(dir.file("model.safetensors"), bytes.subarray(0, bytes.length - 5));
  await assertRejects(
    () => openModelFolder(dir.path),
    MaspError,
    `it is truncated: found ${bytes.length - 5} bytes, expected ${bytes.length}`,
  );
});

Deno.test("model folder: missing tensors and wrong shapes in one list, unused ones returned", async () => {
  using dir = folder();
  await writeSafetensors(dir.file("model.safetensors"), {
    a: tensor(2, 3),
    b: tensor(5),
    extra: tensor(1),
    "model.visual.more": tensor(1),
  });
  using model = await openModelFolder(dir.path);
  assertEquals(model.checkTensors(new Map([["a", [2, 3]], ["b", [5]]])), ["extra", "visual.more"]);
  const error = assertThrows(() => model.checkTensors(new Map([["a", [3, 2]], ["b", [5]], ["c", [1, 1]], ["d", [7]]])), MaspError);
  assertEquals(error.message.split("\n").slice(0, 4), [
    `Cannot load "${dir.path}": 3 of 4 tensors do not fit config.json:`,
    "  a has shape (2, 3), expected (3, 2)",
    "  c is missing, expected (1, 1)",
    "  d is missing, expected (7,)",
  ]);
});
