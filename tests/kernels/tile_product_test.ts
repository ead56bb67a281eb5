import { assertEquals, assertLess, assertNotEquals } from "@std/assert";
import { linear, linearInputGradient, type ProductKernel } from "../../kernels/linear/linear.ts";
import { linearBackwardReference, linearReference } from "../../kernels/linear/_reference.ts";
import { productCandidates, productKernel, productKey } from "../../kernels/linear/product_choice.ts";
import type { ProductTile } from "../../kernels/linear/tile_product_wgsl.ts";
import { destroyMatrix } from "../../kernels/linear/matrix.ts";
import { Plan } from "../../kernels/plan.ts";
import { type Gpu, requestGpu } from "../../kernels/gpu.ts";
import { gpuTest, randomFloats, relativeError } from "./support.ts";
import { randomMatrix } from "./weights_support.ts";

const tiled = (
  rows: 64 | 128,
  columns: 64 | 128,
  { splits, ...tile }: Omit<ProductTile, "rows" | "columns"> & { splits: number },
): ProductKernel => ({
  variant: "tiled",
  tile: { rows, columns, ...tile },
  splits,
});
/** Every tile and every type of weights, but not each with each: compiling takes most of the time. */
const KERNELS: Record<"bf16" | "f16" | "int8", ProductKernel[]> = {
  bf16: [
    tiled(64, 64, { half: false, splits: 1 }),
    tiled(64, 128, { half: true, splits: 3 }),
  ],
  f16: [tiled(128, 128, { half: false, splits: 3 }), tiled(64, 64, { half: true, copies: true, splits: 1 })],
  int8: [
    tiled(64, 64, { half: false, splits: 3 }),
    tiled(128, 128, { half: true, splits: 1 }),
    tiled(64, 128, { half: true, copies: true, splits: 3 }),
  ],
};

/** f16 has 11 bits: each factor is off by up to 2⁻¹², and so is each of the sums that are f16. */
const tolerance = ({ tile }: ProductKernel) => tile!.half ? 2e-3 : 1e-6;

for (const dtype of ["bf16", "f16", "int8"] as const) {
  gpuTest(`tiled products of ${dtype} weights: forward and input gradient, whole and split, in f32 and f16`, async (gpu) => {
    for (const [rows, inputs, outputs] of [[5, 12, 20], [131, 200, 136]]) {
      const x = randomFloats(rows * inputs, 1);
      const { matrix: weight, values } = await randomMatrix(gpu, [outputs, inputs], { seed: 2, dtype });
      const bias = randomFloats(outputs, 3);
      const residual = randomFloats(rows * outputs, 4);
      const dy = randomFloats(rows * outputs, 5);
      const expected = linearReference(x, values, { rows, inputs, outputs, bias }).map((v, i) => v + residual[i]);
      const { dx } = linearBackwardReference(dy, { x, weight: values, rows, inputs, outputs });
      using plan = new Plan(gpu);
      const given = { x: plan.persistent([rows, inputs], { data: x }), dy: plan.persistent([rows, outputs], { data: dy }) };
      const added = { bias: plan.persistent([outputs], { data: bias }), residual: plan.persistent([rows, outputs], { data: residual }) };
      const results = KERNELS[dtype].map((kernel) => ({
        kernel,
        y: linear(plan, { x: given.x, weight, ...added, kernel, out: plan.persistent([rows, outputs]) }),
        dx: linearInputGradient(plan, { dy: given.dy, weight, kernel, out: plan.persistent([rows, inputs]) }),
      }));
      plan.run();
      for (const result of results) {
        const what = `${JSON.stringify(result.kernel)} (${rows}, ${inputs}, ${outputs})`;
        assertLess(relativeError(await gpu.readFloats(result.y), expected), tolerance(result.kernel), what);
        assertLess(relativeError(await gpu.readFloats(result.dx), dx), tolerance(result.kernel), what);
      }
      destroyMatrix(gpu, weight);
    }
  });
}

gpuTest("f16 products keep rows of any size: 1e6, 1e-6 and 0 in one matrix", async (gpu) => {
  const [rows, inputs, outputs] = [6, 64, 12];
  const sizes = [1e6, 1e-6, 1, 0, 1e30, 1e-30];
  const x = randomFloats(rows * inputs, 1).map((value, i) => value * sizes[Math.floor(i / inputs)]);
  const { matrix: weight, values } = await randomMatrix(gpu, [outputs, inputs], { seed: 2, dtype: "bf16" });
  using plan = new Plan(gpu);
  const kernel: ProductKernel = { variant: "tiled", tile: { rows: 64, columns: 128, half: true } };
  const y = linear(plan, { x: plan.persistent([rows, inputs], { data: x }), weight, kernel, out: plan.persistent([rows, outputs]) });
  plan.run();
  const actual = await gpu.readFloats(y);
  const expected = linearReference(x, values, { rows, inputs, outputs });
  for (let row = 0; row < rows; row++) {
    const [a, e] = [actual, expected].map((all) => all.slice(row * outputs, (row + 1) * outputs));
    assertLess(relativeError(a, e), 3e-3, `row of ${sizes[row]}`);
  }
  destroyMatrix(gpu, weight);
});

gpuTest("precise products in f16 sum less in f16: about half the error, with copies as well", async (gpu) => {
  const [rows, inputs, outputs] = [70, 1024, 132];
  const { matrix: weight, values } = await randomMatrix(gpu, [outputs, inputs], { dtype: "bf16", seed: 4 });
  const data = randomFloats(rows * inputs, 3);
  const expected = linearReference(data, values, { rows, inputs, outputs });
  using plan = new Plan(gpu);
  const x = plan.persistent([rows, inputs], { data });
  const results = [{ precise: false }, { precise: true }, { precise: true, copies: true }].map(({ precise, copies }) => {
    const kernel = tiled(64, 64, { half: true, copies, splits: 1 });
    return linear(plan, { x, weight, precise, kernel, out: plan.persistent([rows, outputs]) });
  });
  plan.run();
  const errors = await Promise.all(results.map(async (result) => relativeError(await gpu.readFloats(result), expected)));
  assertLess(errors[0], 2e-3);
  for (const precise of errors.slice(1)) assertLess(precise, 0.7 * errors[0]);
  destroyMatrix(gpu, weight);
});

/** A GPU whose tensor cores cannot be used, even where the adapter's can. */
async function withoutMatrices(): Promise<Gpu> {
  return Object.defineProperty(await requestGpu({ precision: "f16", software: false }), "subgroupMatrices", { value: [] });
}

Deno.test("tiled products: NVIDIA's f16 tiles have two copies of each activation, others one, those of f32 none", async () => {
  const gpu = await withoutMatrices();
  const named = (name: string) => Object.create(gpu, { name: { value: name }, productKernels: { value: new Map() } }) as Gpu;
  const copies = (gpu: Gpu, dtype: "bf16" | "f32") =>
    productKernel(gpu, "rows", { rows: 500, columns: 512, depth: 512, dtype }).tile?.copies ?? false;
  assertEquals([copies(named("NVIDIA H200"), "bf16"), copies(named("NVIDIA H200"), "f32"), copies(named("Radeon"), "bf16")], [
    true,
    false,
    false,
  ]);
  await gpu[Symbol.asyncDispose]();
});

Deno.test("products: what was measured stands for the rows below it, where nothing is nearer, and for some more", async () => {
  const gpu = await withoutMatrices();
  const shape = { columns: 1024, depth: 2048, dtype: "bf16" } as const;
  const kernel = (splits: number): ProductKernel => ({ variant: "tiled", tile: { rows: 64, columns: 64, half: true }, splits });
  [256, 384, 1024].forEach((rows, i) => gpu.productKernels.set(productKey("rows", { ...shape, rows }), kernel(i + 2)));
  gpu.productKernels.set(productKey("rows", { ...shape, columns: 11024, rows: 300 }), kernel(8));
  const splits = (rows: number) => {
    const { tile, splits } = productKernel(gpu, "rows", { ...shape, rows });
    return tile?.columns === 64 ? splits : "not measured";
  };
  assertEquals([180, 256, 257, 384, 500, 700, 1024, 1500].map(splits), [2, 2, 3, 3, 3, 4, 4, 4]);
  assertEquals([100, 600, 1600, 5000].map(splits), ["not measured", "not measured", "not measured", "not measured"]);
  gpu.productKernels.set(productKey("rows", { ...shape, rows: 4096 }), kernel(1));
  assertEquals([3000, 4096, 9000].map(splits), [1, 1, 1]); // tiles in plenty
  await gpu[Symbol.asyncDispose]();
});

Deno.test("products are computed as they were measured; every candidate is right for its product; f32 stays f32", async () => {
  await using gpu = await requestGpu({ precision: "f16" });
  const shape = { rows: 300, columns: 1024, depth: 2048, dtype: "bf16" } as const;
  const candidates = productCandidates(gpu, "rows", shape);
  assertEquals(new Set(candidates.map((kernel) => JSON.stringify(kernel))).size, candidates.length);
  assertEquals({ splits: 1, ...candidates[0] }, { splits: 1, ...productKernel(gpu, "rows", shape) });
  const measured = candidates.at(-1)!;
  gpu.productKernels.set(productKey("rows", shape), measured);
  assertEquals(productKernel(gpu, "rows", { ...shape, rows: 260 }), measured);
  assertNotEquals(productKernel(gpu, "columns", shape), measured);
  assertEquals(productKernel(gpu, "rows", { ...shape, rows: 1 }), { variant: "vector" });
  const hardware = await withoutMatrices();
  assertEquals(productKernel(hardware, "columns", { ...shape, rows: 24 }), { variant: "vector" });
  const few = { ...shape, rows: 12 };
  assertEquals(productKernel(hardware, "rows", few), { variant: "vector" });
  assertEquals(productKernel(hardware, "rows", { ...shape, rows: 17 }).variant, "tiled");
  const threads = (rows: number) => productCandidates(hardware, "rows", { ...shape, rows }).map(({ threads }) => threads);
  assertEquals([threads(1), threads(8)], [[undefined, 64, 256], [undefined, 128, 256]]);
  const tiled = productCandidates(hardware, "rows", few).find(({ variant }) => variant === "tiled")!;
  hardware.productKernels.set(productKey("rows", few), tiled).set(productKey("rows", { ...shape, rows: 24 }), { variant: "vector" });
  assertEquals(productKernel(hardware, "rows", few), tiled);
  assertEquals(productKernel(hardware, "rows", { ...shape, rows: 24 }).variant, "tiled", "so many rows take no vector product");
  const single = { ...shape, rows: 1 };
  hardware.productKernels.set(productKey("rows", single), { variant: "vector", threads: 256 });
  assertEquals(productKernel(hardware, "rows", single), { variant: "vector", threads: 256 });
  await hardware[Symbol.asyncDispose]();
  assertEquals(productKernel(gpu, "rows", { ...shape, depth: 2046 }), { variant: "plain" });
  const halves = (dtype: "bf16" | "f32") => productCandidates(gpu, "rows", { ...shape, dtype }).filter(({ tile }) => tile?.half).length;
  assertEquals([halves("bf16") > 0, halves("f32")], [true, 0]);
  assertEquals(measured.tile?.half, true);
  assertEquals(productKernel(gpu, "rows", { ...shape, precision: "f32" }).tile?.half ?? false, false);
  await using exact = await requestGpu({ precision: "f32", software: false });
  for (const kernel of [measured, { variant: "subgroup_matrix" as const }]) {
    exact.productKernels.set(productKey("rows", shape), kernel);
    assertEquals(productKernel(exact, "rows", shape), { variant: "tiled", tile: { rows: 64, columns: 64, half: false }, splits: 4 });
  }
});

for (const dtype of ["f32", "bf16", "f16", "int8", "int4"] as const) {
  gpuTest(`the input gradient of few rows through ${dtype} weights, whole and split`, async (gpu) => {
    for (const [rows, inputs, outputs] of [[1, 12, 20], [5, 260, 132], [8, 4, 1024], [19, 520, 516]]) {
      const { matrix: weight, values } = await randomMatrix(gpu, [outputs, inputs], { seed: 2, dtype });
      const [dy, added] = [randomFloats(rows * outputs, 5), randomFloats(rows * inputs, 6)];
      const { dx } = linearBackwardReference(dy, { x: new Float32Array(rows * inputs), weight: values, rows, inputs, outputs });
      using plan = new Plan(gpu);
      const given = plan.persistent([rows, outputs], { data: dy });
      const residual = plan.persistent([rows, inputs], { data: added });
      const out = plan.persistent([rows, inputs]);
      linearInputGradient(plan, { dy: given, weight, residual, out, kernel: { variant: "vector" } });
      plan.run();
      assertLess(relativeError(await gpu.readFloats(out), dx.map((v, i) => v + added[i])), 1e-6, `${rows}, ${inputs}, ${outputs}`);
      destroyMatrix(gpu, weight);
    }
  });
}

Deno.test("an input gradient in f32 keeps what is tiny beside its row's largest number", async () => {
  await using gpu = await withoutMatrices();
  const [rows, inputs, outputs] = [40, 32, 4096];
  const dy = randomFloats(rows * outputs, 1).map((value, i) => i % outputs === 7 ? 0.5 : value * 1e-9);
  const { matrix: weight, values } = await randomMatrix(gpu, [outputs, inputs], { seed: 2, dtype: "bf16" });
  values.fill(0, 7 * inputs, 8 * inputs);
  gpu.write(weight.blocks[0].tensor, new Uint8Array(2 * inputs), { byteOffset: 2 * 7 * inputs });
  const { dx } = linearBackwardReference(dy, { x: new Float32Array(rows * inputs), weight: values, rows, inputs, outputs });
  using plan = new Plan(gpu);
  const given = plan.persistent([rows, outputs], { data: dy });
  const results = ([undefined, "f32"] as const).map((precision) =>
    linearInputGradient(plan, { dy: given, weight, precision, out: plan.persistent([rows, inputs]) })
  );
  plan.run();
  const [half, exact] = await Promise.all(results.map(async (result) => relativeError(await gpu.readFloats(result), dx)));
  assertLess(exact, 1e-6);
  assertLess(1e-3, half); // so the case is one that f16 cannot do
  destroyMatrix(gpu, weight);
});
