/** Checkpoint folders that are damaged: one clear message each, and what to do next. */
import { assert, assertEquals, assertMatch, assertRejects } from "@std/assert";
import type { Gpu } from "../../../kernels/gpu.ts";
import { GpuError, requestGpu } from "../../../kernels/gpu.ts";
import { MaspError } from "../../../pipeline/errors.ts";
import { loadQwen2Vl } from "../../../pipeline/load.ts";
import { DEMO_MODEL, deviceTest, temporaryFolder } from "../stages/support.ts";
import { type VariantOptions, writeVariant } from "./checkpoint_variants.ts";

type Folder = ReturnType<typeof temporaryFolder>;

/** Loads a variant of the demo's model, damaged by `damage`. @returns the message */
async function messageOf(gpu: Gpu, variant: VariantOptions, damage: (dir: Folder) => void | Promise<void> = () => {}): Promise<string> {
  using dir = temporaryFolder();
  await writeVariant(DEMO_MODEL, dir.path, variant);
  await damage(dir);
  const { message } = await assertRejects(() => loadQwen2Vl(gpu, dir.path), MaspError);
  assert(message.includes(dir.path), `the folder is not named: ${message}`);
  return message;
}

const NEXT = /; download or copy the (checkpoint|file) again$|run deno task check$|belong to the same checkpoint\.$/;

deviceTest("load errors: missing files", async (gpu) => {
  for (const name of ["config.json", "tokenizer.json", "preprocessor_config.json", "model.safetensors"]) {
    const message = await messageOf(gpu, {}, (dir) => Deno.removeSync(dir.file(name)));
    assertMatch(message, new RegExp(`${name}.* is missing`));
    assertMatch(message, NEXT);
  }
  const shard = "model-00002-of-00003.safetensors";
  const message = await messageOf(gpu, { shards: 3 }, (dir) => Deno.removeSync(dir.file(shard)));
  assertMatch(message, new RegExp(`${shard} .*is missing`));
  assertMatch(message, NEXT);
  await assertRejects(() => loadQwen2Vl(gpu, "weights/none"), MaspError, 'Cannot load "weights/none": there is no such folder');
});

deviceTest("load errors: truncated files and headers that are none", async (gpu) => {
  const change = (edit: (bytes: Uint8Array) => Uint8Array) => (dir: Folder) => {
    const path = dir.file("model.safetensors");
    Deno.writeFileSync(path, edit(Deno.readFileSync(path)));
  };
  const cases: [(bytes: Uint8Array) => Uint8Array, RegExp][] = [
    [(bytes) => bytes.subarray(0, bytes.length >> 1), /it is truncated: found \d+ bytes, expected \d+/],
    [(bytes) => bytes.subarray(0, 5), /it is truncated: found 5 bytes/],
    [() => new Uint8Array(0), /it is truncated: found 0 bytes/],
    [(bytes) => bytes.fill(0xff, 0, 8), /its first 8 bytes give a header of \d+ bytes/],
    [(bytes) => bytes.fill(0x78, 8, 40), /its header of \d+ bytes is no JSON/],
    [() => new TextEncoder().encode("<html>404 Not Found</html>"), /no safetensors file/],
    [() => new TextEncoder().encode("version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n"), /no safetensors file/],
  ];
  for (const [edit, expected] of cases) {
    const message = await messageOf(gpu, {}, change(edit));
    assertMatch(message, expected);
    assertMatch(message, /download or copy the file again/);
  }
  for (const name of ["config.json", "tokenizer.json", "preprocessor_config.json"]) {
    const message = await messageOf(gpu, {}, (dir) => Deno.writeTextFileSync(dir.file(name), '{"a": '));
    assertMatch(message, new RegExp(name));
  }
});

deviceTest("load errors: tensors that are missing, of a wrong shape or type, or not used", async (gpu) => {
  const wrong = await messageOf(gpu, {
    tensors: ({ "model.norm.weight": _, "visual.merger.ln_q.bias": __, "model.layers.1.mlp.up_proj.weight": up, ...tensors }) => ({
      ...tensors,
      "model.layers.1.mlp.up_proj.weight": { ...up, shape: up.shape.toReversed() },
    }),
  });
  assertMatch(wrong, /3 of \d+ tensors do not fit config.json/);
  assertMatch(wrong, /model\.norm\.weight is missing, expected \(192,\)/);
  assertMatch(wrong, /visual\.merger\.ln_q\.bias is missing, expected \(96,\)/);
  assertMatch(wrong, /model\.layers\.1\.mlp\.up_proj\.weight has shape \(192, 512\), expected \(512, 192\)/);
  assertMatch(wrong, NEXT);
  const type = await messageOf(gpu, {
    tensors: (tensors) => ({
      ...tensors,
      "model.layers.0.mlp.down_proj.weight": { dtype: "I8", shape: [192, 512], data: new Int8Array(192 * 512) },
    }),
  });
  assertMatch(type, /1 of \d+ tensors are of a number type .*model\.layers\.0\.mlp\.down_proj\.weight is I8.*expected BF16, F16 or F32/);
  using dir = temporaryFolder();
  const more = { dtype: "F32", shape: [2], data: new Float32Array(2) } as const;
  await writeVariant(DEMO_MODEL, dir.path, { tensors: (tensors) => ({ ...tensors, "more.weight": { ...more, shape: [2] } }) });
  using model = await loadQwen2Vl(gpu, dir.path);
  assertEquals(model.unusedTensors, ["more.weight"]);
});

deviceTest("load errors: a configuration of another model", async (gpu) => {
  const other = await messageOf(gpu, { config: (config) => ({ ...config, model_type: "llama" }) });
  assertMatch(other, /expected "qwen2_vl", found "llama"/);
  const layers = await messageOf(gpu, { config: (config) => ({ ...config, num_hidden_layers: 5 }) });
  assertMatch(layers, /model\.layers\.4\.input_layernorm\.weight is missing/);
  const vocabulary = await messageOf(gpu, { config: (config) => ({ ...config, vocab_size: 2000 }) });
  assertMatch(vocabulary, /model\.embed_tokens\.weight has shape \(1014, 192\), expected \(2000, 192\)/);
});

deviceTest("load errors: too little GPU memory; what was loaded is freed", async (gpu) => {
  const before = gpu.counters.bytes;
  let needed: number;
  {
    using _model = await loadQwen2Vl(gpu, DEMO_MODEL);
    needed = gpu.counters.bytes - before;
  }
  assertEquals(gpu.counters.bytes, before);
  for (const part of [0.01, 0.3, 0.7, 0.9, 0.999]) {
    await using small = await requestGpu({ memoryLimit: part * needed });
    await assertRejects(() => loadQwen2Vl(small, DEMO_MODEL), GpuError, "Out of GPU memory");
    assertEquals(small.counters.bytes, 0, `${100 * part} % of the memory`);
  }
});

deviceTest("load errors: patches of another size than the vision tower's", async (gpu) => {
  const message = await messageOf(gpu, {}, (dir) => Deno.writeTextFileSync(dir.file("preprocessor_config.json"), '{"patch_size": 16}'));
  assertMatch(message, /preprocessor_config\.json is not of the same model as config\.json \(patch_size is 16, config\.json has 14/);
  assertMatch(message, NEXT);
});
