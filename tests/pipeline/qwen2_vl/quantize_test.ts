/** Weights of 8 and 4 bits from the file to the answer. */
import { assert, assertEquals, assertLess, assertNotEquals, assertRejects } from "@std/assert";
import type { Gpu } from "../../../kernels/gpu.ts";
import { createMatrix, destroyMatrix, type Matrix } from "../../../kernels/linear/matrix.ts";
import type { WeightType } from "../../../kernels/linear/weight_types.ts";
import { matrixBytes } from "../../kernels/weights_support.ts";
import { categoriesOf } from "../../../pipeline/data/categories.ts";
import { FeatureStore } from "../../../pipeline/encode.ts";
import { predict } from "../../../pipeline/evaluate.ts";
import { loadQwen2Vl } from "../../../pipeline/load.ts";
import { matrixType, Quantizer } from "../../../pipeline/qwen2_vl/quantize.ts";
import { parseConfig } from "../../../pipeline/qwen2_vl/config.ts";
import { expectedTensors } from "../../../pipeline/qwen2_vl/weights.ts";
import { publishedConfig } from "../../bench/checkpoint/published_config.ts";
import { differing, quantizedReference, readQuantized } from "../../kernels/quantized_support.ts";
import { randomFloats, relativeError } from "../../kernels/support.ts";
import { withType, writeVariant } from "../load/checkpoint_variants.ts";
import { DEMO_MODEL, demoExamples, demoPrompts, deviceTest, temporaryFolder } from "../stages/support.ts";

Deno.test("quantize: which matrices get how many bits", () => {
  const names = ["model.layers.3.mlp.down_proj.weight", "model.embed_tokens.weight", "lm_head.weight", "visual.blocks.0.attn.qkv.weight"];
  const types = (weights?: WeightType) => names.map((name) => matrixType(name, { weights, stored: "BF16" }));
  assertEquals(types("int4"), ["int4", "int8", "int8", "int8"]);
  assertEquals(types("int8"), ["int8", "int8", "int8", "int8"]);
  assertEquals(types("f16"), ["f16", "f16", "f16", "f16"]);
  assertEquals(types(), ["bf16", "bf16", "bf16", "bf16"]);
});

deviceTest("quantize: tensors that come in pieces, some rows at a time, two on top of each other", async (gpu) => {
  const columns = 135;
  const heights = [11, 26];
  for (const [stored, bytes] of [["F32", 4], ["BF16", 2]] as const) {
    for (const type of ["int8", "int4"] as const) {
      const target = createMatrix(gpu, [37, columns], { dtype: type });
      using quantizer = new Quantizer(gpu, { stagingBytes: 9 * columns * bytes });
      const all: number[] = [];
      for (const [i, rows] of heights.entries()) {
        const floats = randomFloats(rows * columns, i, { scale: 0.02 });
        const halves = Uint16Array.from(new Uint32Array(floats.buffer), (bits) => bits >>> 16);
        all.push(...bytes === 4 ? floats : new Float32Array(Uint32Array.from(halves, (bits) => bits << 16).buffer));
        const file = new Uint8Array(bytes === 4 ? floats.buffer : halves.buffer);
        await quantizer.write({ target, firstRow: i * heights[0], stored, pieces: piecesOf(file, 1616) });
      }
      const { scales, levels } = await readQuantized(gpu, target);
      const expected = quantizedReference(all, { columns, type });
      assertEquals(scales, [...expected.scales]);
      assertLess(differing(levels, expected.levels), 1e-3);
      destroyMatrix(gpu, target);
    }
  }
  const target = createMatrix(gpu, [4, 6], { dtype: "int8", label: "short" });
  using quantizer = new Quantizer(gpu);
  const write = () => quantizer.write({ target, firstRow: 0, stored: "F32", pieces: [new Uint8Array(20)] });
  await assertRejects(write, Error, '"short[0..4)": 20 bytes are no whole rows of 24');
  destroyMatrix(gpu, target);
});

/** A file's bytes in the same buffer, one piece after the other. */
function* piecesOf(file: Uint8Array, length: number): Iterable<Uint8Array> {
  const buffer = new Uint8Array(length);
  for (let at = 0; at < file.length; at += length) {
    const piece = buffer.subarray(0, Math.min(length, file.length - at));
    piece.set(file.subarray(at, at + piece.length));
    yield piece;
  }
}

/** Features of a picture, and its categories' probabilities. */
async function resultsOf(gpu: Gpu, dir: string, weights: WeightType) {
  const [{ image }] = await demoExamples(1);
  using model = await loadQwen2Vl(gpu, dir, { weights });
  await using store = new FeatureStore(model);
  const features = await gpu.readFloats((await store.get(image)).tensor);
  const { scores } = await predict(model, image, { prompts: await demoPrompts(), categories: categoriesOf("EmoSet"), seed: 1, store });
  const { layers, embedding, head, blocks } = model.network.weights;
  const types = [layers[0].gateUp, layers[3].output, embedding, head, blocks[1].fc1].map((matrix) => matrix.blocks[0].tensor.dtype);
  const matrices = [embedding, head, ...[...layers, ...blocks, model.network.weights.merger].flatMap((part) => Object.values(part))]
    .filter((value): value is Matrix => "blocks" in value);
  const bytes = matrices.reduce((sum, { rows, columns, blocks }) => {
    const own = blocks.reduce((sum, { tensor, scales }) => sum + tensor.bytes + (scales?.bytes ?? 0), 0);
    assertEquals(own, matrixBytes([rows, columns], blocks[0].tensor.dtype as WeightType));
    return sum + own;
  }, 0);
  return { features, scores: Object.values(scores), types, bytes, visionId: model.visionId };
}

deviceTest("quantize: the whole model is close to its own weights, and smaller", async (gpu) => {
  const held = () => gpu.counters.bytes - gpu.scratch.bytes;
  const exact = await resultsOf(gpu, DEMO_MODEL, "bf16");
  const before = held();
  const int8 = await resultsOf(gpu, DEMO_MODEL, "int8");
  const int4 = await resultsOf(gpu, DEMO_MODEL, "int4");
  assertEquals(held(), before, "GPU memory of a disposed model is still held");
  assertEquals(int8.types, ["int8", "int8", "int8", "int8", "int8"]);
  assertEquals(int4.types, ["int4", "int4", "int8", "int8", "int8"]);
  assertLess(int4.bytes, int8.bytes);
  assertLess(int8.bytes, exact.bytes);
  assertLess(relativeError(int8.features, exact.features), 2e-2);
  assertLess(relativeError(int8.scores, exact.scores), 5e-2);
  const off = relativeError(int4.scores, exact.scores);
  assert(off > 1e-4 && off < 0.4, `4 bits: ${off}`);
  assertNotEquals(int8.visionId, exact.visionId, "features that are kept on disk would be taken for others");
  assertEquals(int4.visionId, int8.visionId);
});

deviceTest("quantize: from f32 and bf16 files of the same numbers come the same weights", async (gpu) => {
  using dir = temporaryFolder();
  await writeVariant(DEMO_MODEL, dir.path, { tensors: withType("F32") });
  const [f32, bf16] = [await resultsOf(gpu, dir.path, "int4"), await resultsOf(gpu, DEMO_MODEL, "int4")];
  assertEquals(f32.features, bf16.features);
  assertEquals(f32.scores, bf16.scores);
});

Deno.test("quantize: the 7B model's weights in GiB", () => {
  const shapes = [...expectedTensors(parseConfig(publishedConfig("7b"), { name: "7B" }))];
  const gib = (weights?: WeightType) =>
    shapes.reduce((sum, [name, [rows, columns]]) => {
      return sum + (columns ? matrixBytes([rows, columns], matrixType(name, { weights, stored: "BF16" })) : 4 * rows);
    }, 0) / 2 ** 30;
  const rounded = (value: number) => Math.round(10 * value) / 10;
  assertEquals([gib(), gib("int8"), gib("int4")].map(rounded), [15.4, 7.8, 4.8]);
});
