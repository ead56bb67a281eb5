import { assertEquals, assertRejects } from "@std/assert";
import { requestGpu } from "../../kernels/gpu.ts";
import type { ProductKernel } from "../../kernels/linear/product_choice.ts";
import { MaspError } from "../../pipeline/errors.ts";
import { saveTuning, tuningPath, useTuning } from "../../pipeline/tuning.ts";

Deno.test("tuning: what was measured is read back, added to, kept per adapter, and checked", async () => {
  await using gpu = await requestGpu();
  const dir = await Deno.makeTempDir();
  const first: [string, ProductKernel] = ["rows bf16 64x8x8", {
    variant: "tiled",
    tile: { rows: 64, columns: 128, half: true },
    splits: 2,
  }];
  const second: [string, ProductKernel] = ["columns bf16 64x8x8", { variant: "subgroup" }];
  assertEquals(await useTuning(gpu, dir), 0);
  await saveTuning(gpu, new Map([first]), dir);
  const path = await saveTuning(gpu, new Map([second]), dir);
  assertEquals(path, tuningPath(gpu, dir));
  assertEquals(await useTuning(gpu, dir), 2);
  assertEquals([...gpu.productKernels], [first, second]);
  await using half = await requestGpu({ precision: "f16" });
  assertEquals(await useTuning(half, dir), 0); // what is fastest in f16 was not measured

  const written = JSON.parse(await Deno.readTextFile(path));
  await Deno.writeTextFile(path, JSON.stringify({ ...written, adapter: "another" }));
  assertEquals(await useTuning(gpu, dir), 0);
  await Deno.writeTextFile(path, JSON.stringify({ ...written, products: { x: { variant: "tiled" } } }));
  await assertRejects(() => useTuning(gpu, dir), MaspError, "deno task bench tune");
  await Deno.remove(dir, { recursive: true });
});
