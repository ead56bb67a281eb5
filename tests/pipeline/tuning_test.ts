import { assertEquals, assertMatch, assertRejects } from "@std/assert";
import {
  backwardCandidates,
  backwardKernel,
  backwardKey,
  forwardCandidates,
  forwardKernel,
  forwardKey,
  type ForwardShape,
} from "../../kernels/attention/attention_choice.ts";
import type { AttentionKernel } from "../../kernels/attention/operands.ts";
import { type Gpu, requestGpu } from "../../kernels/gpu.ts";
import { productCandidates, type ProductKernel, productKernel, productKey } from "../../kernels/linear/product_choice.ts";
import { TILES } from "../../kernels/linear/subgroup_matrix_choice.ts";
import type { WeightType } from "../../kernels/linear/weight_types.ts";
import { MaspError } from "../../pipeline/errors.ts";
import { parseConfig } from "../../pipeline/qwen2_vl/config.ts";
import { publishedConfig } from "../bench/checkpoint/published_config.ts";
import { tunedMatrices } from "../bench/tune.ts";
import { saveTuning, tuningPath, tuningText, useTuning } from "../../pipeline/tuning.ts";
import "../set_up.ts";

Deno.test("tuning: what was measured is read back, added to, kept per adapter, and checked", async () => {
  await using gpu = await requestGpu({ precision: "f32" });
  const dir = await Deno.makeTempDir();
  const first: [string, ProductKernel] = ["rows bf16 64x8x8", {
    variant: "tiled",
    tile: { rows: 64, columns: 128, half: true },
    splits: 2,
  }];
  const second: [string, ProductKernel] = ["columns bf16 64x8x8", { variant: "subgroup" }];
  assertEquals(await useTuning(gpu, dir), 0);
  await saveTuning(gpu, { products: new Map([first]) }, dir);
  const attention: [string, AttentionKernel] = ["forward f16 80", { variant: "tiled", columns: 64 }];
  const path = await saveTuning(gpu, { products: new Map([second]), attention: new Map([attention]) }, dir);
  assertEquals(path, tuningPath(gpu, dir));
  assertEquals(await useTuning(gpu, dir), 3);
  assertEquals([[...gpu.productKernels], [...gpu.attentionKernels]], [[first, second], [attention]]);
  await using half = await requestGpu({ precision: "f16" });
  assertEquals(await useTuning(half, dir), 0); // what is fastest in f16 was not measured

  const written = JSON.parse(await Deno.readTextFile(path));
  await Deno.writeTextFile(path, JSON.stringify({ ...written, attention: undefined })); // as it was written before attention was measured
  assertEquals(await useTuning(gpu, dir), 2);
  await Deno.writeTextFile(path, JSON.stringify({ ...written, adapter: "another" }));
  assertEquals(await useTuning(gpu, dir), 0);
  await Deno.writeTextFile(path, JSON.stringify({ ...written, products: { x: { variant: "tiled" } } }));
  await assertRejects(() => useTuning(gpu, dir), MaspError, "deno task bench tune");
  await Deno.writeTextFile(path, JSON.stringify({ ...written, products: { x: { variant: "subgroup", matrixTile: TILES[0] } } }));
  await assertRejects(() => useTuning(gpu, dir), MaspError, "belongs to the variant subgroup_matrix");
  const tile = { rows: 64, columns: 64, half: false, copies: true };
  await Deno.writeTextFile(path, JSON.stringify({ ...written, products: { x: { variant: "tiled", tile } } }));
  await assertRejects(() => useTuning(gpu, dir), MaspError, "copies are of f16");
  await Deno.remove(dir, { recursive: true });
});

Deno.test("tuning: every kernel that may win a measurement is read back, and taken then; on tensor cores, too", async () => {
  const dir = await Deno.makeTempDir();
  const shape = { rows: 384, columns: 1024, depth: 2048, dtype: "bf16" } as const;
  const matrices = [{ rows: 16, columns: 16, depth: 16 }];
  const limits = { maxComputeWorkgroupStorageSize: 49152, maxComputeInvocationsPerWorkgroup: 1024 };
  for (const subgroupMatrices of [[], matrices]) {
    const like = { name: "an adapter", software: false, precision: "f16", subgroupSize: 32, has: () => true, device: { limits } };
    const gpu = { ...like, subgroupMatrices, productKernels: new Map(), attentionKernels: new Map() } as unknown as Gpu;
    for (const form of ["rows", "columns"] as const) {
      const candidates = productCandidates(gpu, form, shape);
      assertEquals(candidates.filter(({ variant }) => variant === "subgroup_matrix").length > 10, subgroupMatrices.length > 0);
      await saveTuning(gpu, { products: new Map(candidates.map((kernel, i) => [`kernel ${i}`, kernel])) }, dir);
      await useTuning(gpu, dir);
      for (const [i, kernel] of candidates.entries()) {
        gpu.productKernels.set(productKey(form, shape), gpu.productKernels.get(`kernel ${i}`)!);
        assertEquals(productKernel(gpu, form, shape), kernel);
      }
      gpu.productKernels.clear();
    }
    assertMatch(tuningText(gpu)!, /deno task bench tune/);
    for (const shape of [{ headDim: 80 }, { headDim: 128, causal: true }, { headDim: 80, lse: true }] satisfies ForwardShape[]) {
      const given = { ...shape, precision: "f16" as const };
      for (
        const [key, candidates] of [[forwardKey(given), forwardCandidates(gpu, given)], [
          backwardKey(given),
          backwardCandidates(gpu, given),
        ]] as const
      ) {
        for (const kernel of candidates) {
          await saveTuning(gpu, { attention: new Map([[key, kernel]]) }, dir);
          await useTuning(gpu, dir);
          const few = { rows: 100, bytes: 0, partBytes: 0 };
          assertEquals(key.startsWith("forward") ? forwardKernel(gpu, { ...given, ...few }) : backwardKernel(gpu, given), kernel);
        }
      }
    }
  }
  await Deno.remove(dir, { recursive: true });
  const [product, attention] = [new Map([["a", {}]]), new Map([["b", {}]])];
  assertEquals(tuningText({ productKernels: product, attentionKernels: attention } as unknown as Gpu), "2 measured on this adapter");
  assertEquals(tuningText({ software: true } as Gpu), undefined);
});

Deno.test("tuning: matrices are measured in the type that a checkpoint's weights are kept in", () => {
  const config = parseConfig(publishedConfig("2b"), { name: "2b" });
  const types = (stored: string, weights?: WeightType) => {
    const all = tunedMatrices({ config, stored, weights });
    return [all.at(-1)!.dtype, all[0].dtype];
  };
  assertEquals(types("F16"), ["f16", "f16"]);
  assertEquals(types("BF16", "f32"), ["f32", "f32"]);
  assertEquals(types("BF16", "int4"), ["int4", "int8"]);
  const all = tunedMatrices({ config, stored: "BF16" });
  assertEquals([all[0].forms, all.at(-1)!.forms], [["rows"], ["rows", "columns"]]);
  assertEquals(new Set(all.map(({ shape }) => shape.join())).size, all.length);
});
