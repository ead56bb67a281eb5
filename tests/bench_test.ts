/** Synthetic checkpoints, and the benchmarks themselves on small sizes. */
import { assert, assertEquals, assertRejects } from "@std/assert";
import { join } from "@std/path";
import { forwardKey } from "../kernels/attention/attention_choice.ts";
import { type Gpu, requestGpu } from "../kernels/gpu.ts";
import { linear } from "../kernels/linear/linear.ts";
import { asMatrix } from "../kernels/linear/matrix.ts";
import { Plan } from "../kernels/plan.ts";
import { gatherRows } from "../kernels/rows/rows.ts";
import { openModelFolder } from "../pipeline/checkpoint/model_folder.ts";
import { MaspError } from "../pipeline/errors.ts";
import { parseConfig } from "../pipeline/qwen2_vl/config.ts";
import { expectedTensors } from "../pipeline/qwen2_vl/weights.ts";
import { loadTokenizer } from "../pipeline/text/tokenizer.ts";
import { makeCheckpoint } from "./bench/checkpoint/make_checkpoint.ts";
import { normalBf16 } from "./bench/checkpoint/normal_weights.ts";
import { publishedConfig } from "./bench/checkpoint/published_config.ts";
import { bench7b } from "./bench/large/bench_7b.ts";
import { measurementTable } from "./bench/large/tables.ts";
import { isRight, race } from "./bench/race.ts";
import { tuneAttention, tunedAttention } from "./bench/tune_attention.ts";
import { profileByKernel, profileOf, workOf } from "./bench/profile.ts";
import { gpuTest, randomFloats } from "./kernels/support.ts";
import "./set_up.ts";

const SMALL = {
  ...publishedConfig("2b", { layers: 1, visionLayers: 1 }),
  hidden_size: 16,
  intermediate_size: 24,
  num_attention_heads: 2,
  num_key_value_heads: 1,
  rope_scaling: { type: "mrope", mrope_section: [1, 1, 2] },
  vision_config: { ...publishedConfig("2b").vision_config as object, depth: 1, embed_dim: 32, num_heads: 2, hidden_size: 16 },
};

Deno.test("a synthetic checkpoint is complete, in shards, and the same for the same seed", async () => {
  const dir = await Deno.makeTempDir();
  try {
    const [one, two] = [join(dir, "one"), join(dir, "two")];
    const bytes = await makeCheckpoint(one, { config: SMALL, seed: 5, shardBytes: 2 ** 12 });
    await makeCheckpoint(two, { config: SMALL, seed: 5 });
    using folder = await openModelFolder(one);
    using whole = await openModelFolder(two);
    const expected = expectedTensors(parseConfig(folder.config, { name: one }));
    assertEquals(folder.checkTensors(expected), []);
    assert(folder.names().length === expected.size && bytes > 0);
    let embedding = 0;
    for (const name of expected.keys()) {
      const [a, b] = [folder.tensor(name)!, whole.tensor(name)!];
      const values = a.file.read(a.name);
      assertEquals(values, b.file.read(b.name), name);
      if (name === "model.embed_tokens.weight") embedding = values.length;
    }
    assertEquals(embedding, 2 * 151936 * 16);
    const tokenizer = await loadTokenizer(one);
    assertEquals(tokenizer.size, 151657);
    assertEquals(["assistant", "Ċ", "<|im_end|>", "<|image_pad|>"].map((token) => tokenizer.idOf(token)), [77091, 198, 151645, 151655]);
    assertEquals(tokenizer.addSpecialTokens(["<|reserved_special_token_0|>"]), [151657]);
    const text = "<|im_start|>user\nWhich emotion does this picture evoke? Choose one of ['fear', 'contentment'].<|im_end|>\n";
    assertEquals(tokenizer.decode(tokenizer.encode(text)), text);
    assertEquals(tokenizer.encode("contentment").length, 1);
    await assertRejects(() => makeCheckpoint(one, { config: SMALL }), MaspError, "already");
  } finally {
    await Deno.remove(dir, { recursive: true });
  }
});

Deno.test("a synthetic checkpoint with outliers: the same numbers but for some, which are larger by powers of two", async () => {
  const dir = await Deno.makeTempDir();
  try {
    const [plain, other] = [join(dir, "plain"), join(dir, "other")];
    await makeCheckpoint(plain, { config: SMALL, seed: 5 });
    await makeCheckpoint(other, { config: SMALL, seed: 5, outliers: true });
    using before = await openModelFolder(plain);
    using folder = await openModelFolder(other);
    const floats = (from: typeof folder, name: string) => {
      const { file, name: inFile } = from.tensor(name)!;
      return new Float32Array(Uint32Array.from(new Uint16Array(file.read(inFile).buffer), (bits) => bits << 16).buffer);
    };
    const ratios = (name: string) =>
      [...new Set([...floats(folder, name)].map((x, i) => x / floats(before, name)[i]))].sort((a, b) => a - b);
    assertEquals(ratios("model.layers.0.self_attn.k_proj.bias"), [64, 4096]);
    assertEquals(ratios("model.layers.0.mlp.down_proj.weight"), [1, 256]);
    assertEquals(ratios("model.norm.weight"), [1 / 16, 2]);
    assertEquals(ratios("visual.blocks.0.attn.qkv.bias"), [1, 64, 512]);
    assertEquals(ratios("visual.merger.ln_q.weight"), [1]);
  } finally {
    await Deno.remove(dir, { recursive: true });
  }
});

Deno.test("random weights have the wanted mean and deviation, however many are drawn at a time", () => {
  const numbers = new Uint16Array(1 << 16);
  normalBf16(3, { stream: "weights", mean: 1, std: 0.5 })(numbers);
  const floats = new Float32Array(Uint32Array.from(numbers, (bits) => bits << 16).buffer);
  const mean = floats.reduce((sum, x) => sum + x, 0) / floats.length;
  const deviation = Math.sqrt(floats.reduce((sum, x) => sum + (x - mean) ** 2, 0) / floats.length);
  assert(Math.abs(mean - 1) < 0.01 && Math.abs(deviation - 0.5) < 0.01, `mean ${mean}, deviation ${deviation}`);
  const again = new Uint16Array(1 << 16);
  const fill = normalBf16(3, { stream: "weights", mean: 1, std: 0.5 });
  for (let i = 0; i < again.length; i += 1 << 12) fill(again.subarray(i, i + (1 << 12)));
  assertEquals(again, numbers);
  normalBf16(3, { stream: "other weights", mean: 1, std: 0.5 })(again);
  assert(again.some((value, i) => value !== numbers[i]));
});

Deno.test({
  name: "the large benchmark fills its table",
  sanitizeOps: false,
  sanitizeResources: false,
  fn: async () => {
    const options = {
      checkpoint: new URL("../demo/model", import.meta.url).pathname,
      sizes: [[56, 84] as const],
      phases: ["evaluation", "stage2-recompute", "stage2-recompute-int4"],
      batch: 2,
      repeats: 1,
      steps: 1,
      tokens: 1,
    };
    const report = await bench7b(options);
    assertEquals(report.failures, {});
    const training = "stage 2 step, cached features, recompute";
    const names = ["evaluate", "token", "evaluate batch of 2", training, `${training}, int4`].map((what) => `56x84/${what}`);
    assertEquals(report.measurements.map(({ name }) => name), names);
    const [kept, int4] = report.measurements.slice(-2);
    assert(int4.gpuGib! < kept.gpuGib!, `${int4.gpuGib} GiB with int4, ${kept.gpuGib} without`);
    assertEquals(report.loadings.length, 2, "only weights as they are kept tell the rate of the files");
    const published = { "published/56x84/evaluate": { ms: 1e6 }, "published/56x84/stage 2 step": { ms: 1e6 } };
    const table = measurementTable(report.measurements, { machine: "CPU", results: published });
    assertEquals(table.split("\n").filter((line) => line.includes("1000000.0")).length, 2);
    await assertRejects(() => bench7b({ ...options, phases: ["stage3"] }), MaspError, "stage2-recompute-int4");
  },
});

Deno.test({
  name: "a profile knows the operations and bytes of a product",
  sanitizeOps: false,
  sanitizeResources: false,
  fn: async () => {
    await using gpu = await requestGpu();
    using plan = new Plan(gpu, "product");
    const x = plan.persistent([40, 64], { data: new Float32Array(40 * 64).fill(1) });
    const weight = plan.persistent([48, 64], { data: new Float32Array(48 * 64).fill(1) });
    linear(plan, { x, weight: asMatrix(weight) });
    const lines = profileByKernel(await profileOf(gpu, () => Promise.resolve(plan.run())));
    assertEquals(lines.length, 1);
    assertEquals(lines[0].flops, 2 * 40 * 64 * 48);
    assertEquals(lines[0].bytes, 4 * (40 * 64 + 48 * 64 + 40 * 48));
    assert(lines[0].ms > 0);
    using gathering = new Plan(gpu, "gathering");
    const table = gathering.persistent([1000, 64]);
    const index = gathering.persistent([3], { dtype: "u32", data: new Uint32Array(3) });
    gatherRows(gathering, { source: table, index, out: gathering.persistent([3, 64]) });
    assert(workOf((await gathering.profile())[0]).bytes < table.bytes); // it reads three rows
  },
});

/** A contest of kernels that add to x so many times, what they add being right or wrong. */
function additions(gpu: Gpu, added: Record<string, { times: number; value: number }>) {
  const x = gpu.tensor([4096], { label: "x", data: randomFloats(4096, 1) });
  const y = gpu.tensor([4096], { label: "y" });
  const code = (value: number) => `
@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read_write> y: array<f32>;
@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>) { y[id.x] = x[id.x] + ${value}.0; }`;
  const record = (plan: Plan, name: string) => {
    const { times, value } = added[name];
    for (let i = 0; i < times; i++) plan.dispatch({ label: name, code: code(value) }, { tensors: { x, y }, workgroups: [64] });
    return [y];
  };
  return { candidates: Object.keys(added).slice(1), trusted: Object.keys(added)[0], record, flops: 1e9, repeats: 3 };
}

gpuTest("race: the fastest of the kernels that compute what the trusted one does", async (gpu) => {
  const right = { times: 1, value: 3 };
  const found = await race(gpu, additions(gpu, { right, usual: { times: 40, value: 3 }, quick: right, wrong: { times: 1, value: 4 } }));
  assertEquals(found.all.map(({ kernel }) => kernel), ["usual", "quick", "wrong"]);
  assertEquals(found.all.map(isRight), [true, true, false]);
  assertEquals(found.fastest.kernel, "quick");
  assert(found.all[0].milliseconds > found.fastest.milliseconds);
  const none = additions(gpu, { right, first: { times: 1, value: 4 }, second: { times: 1, value: 5 } });
  await assertRejects(() => race(gpu, none), MaspError, "No kernel computes this right on this adapter");
});

Deno.test({
  name: "the tuner finds the fastest attention for every kind that the model has",
  sanitizeOps: false,
  sanitizeResources: false,
  fn: async () => {
    const config = parseConfig(publishedConfig("7b"), { name: "7b" });
    assertEquals(tunedAttention({ config, stored: "BF16" }), [
      { heads: 16, kvHeads: 16, headDim: 80, precision: "f16", backward: false },
      { heads: 28, kvHeads: 4, headDim: 128, precision: "f16", causal: true, backward: false },
      { heads: 28, kvHeads: 4, headDim: 128, precision: "f16", causal: true, lse: true, backward: false },
      { heads: 28, kvHeads: 4, headDim: 128, precision: "f16", causal: true, backward: true },
    ]);
    await using gpu = await requestGpu({ software: false, precision: "f32" });
    const words = { heads: 2, kvHeads: 1, headDim: 8, precision: "f32", causal: true } as const;
    const kinds = [{ ...words, lse: true, backward: false }, { ...words, backward: true }];
    const found = await tuneAttention(gpu, kinds, { repeats: 1, rows: 70 });
    assertEquals([...found.keys()], [forwardKey(kinds[0])]); // there is one kernel for gradients in f32, and nothing to measure
    assertEquals(found.get(forwardKey(kinds[0]))!.variant, "tiled");
  },
});
