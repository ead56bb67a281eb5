import { assertEquals, assertThrows } from "@std/assert";
import type { Gpu } from "../../kernels/gpu.ts";
import { linear } from "../../kernels/linear/linear.ts";
import { asMatrix, firstRows } from "../../kernels/linear/matrix.ts";
import type { Form } from "../../kernels/linear/product_wgsl.ts";
import { matrixTile, matrixTiles, takesSubgroupMatrices } from "../../kernels/linear/subgroup_matrix_choice.ts";
import { matrixTileName } from "../../kernels/linear/subgroup_matrix_wgsl.ts";
import { Plan } from "../../kernels/plan.ts";
import { type SubgroupMatrixShape, subgroupMatrixShapes } from "../../kernels/subgroup_matrix.ts";
import { gpuTest } from "./support.ts";

/** An adapter with matrices, as far as the choice of tiles looks at it. */
const adapter = (limits: object, shape: SubgroupMatrixShape = { rows: 16, columns: 16, depth: 16 }): Gpu =>
  ({
    subgroupMatrices: [shape],
    subgroupSize: 32,
    device: { limits: { maxComputeWorkgroupStorageSize: 49152, maxComputeInvocationsPerWorkgroup: 1024, ...limits } },
  }) as unknown as Gpu;

gpuTest("subgroup matrices: taken only where the adapter has fitting ones, never for f32 weights", async (gpu) => {
  const shapes = subgroupMatrixShapes({
    subgroupMatrixConfigs: [
      { componentType: "f16", resultComponentType: "f16", M: 16, N: 16, K: 16 },
      { componentType: "f16", resultComponentType: "f32", M: 16, N: 8, K: 16 },
      { componentType: "i8", resultComponentType: "i32", M: 16, N: 16, K: 32 },
    ],
  } as unknown as GPUAdapterInfo);
  assertEquals(shapes, [{ rows: 16, columns: 8, depth: 16 }]);
  assertEquals(subgroupMatrixShapes({} as GPUAdapterInfo), []);
  const like = (facts: object) =>
    ({ ...adapter({}), subgroupMatrices: shapes, precision: "f16", has: () => true, ...facts }) as unknown as Gpu;
  assertEquals([takesSubgroupMatrices(like({}), { dtype: "bf16" }), takesSubgroupMatrices(like({}), { dtype: "int4" })], [true, true]);
  assertEquals(takesSubgroupMatrices(like({}), { dtype: "f32" }), false);
  assertEquals(takesSubgroupMatrices(like({ precision: "f32" }), { dtype: "bf16" }), false);
  assertEquals(takesSubgroupMatrices(like({ subgroupSize: 0 }), { dtype: "bf16" }), false);
  assertEquals(takesSubgroupMatrices(like({ subgroupMatrices: [] }), { dtype: "bf16" }), false);
  assertEquals(takesSubgroupMatrices(like({ subgroupMatrices: [{ rows: 24, columns: 24, depth: 24 }] }), { dtype: "bf16" }), false);
  assertEquals(takesSubgroupMatrices(like({ has: () => false }), { dtype: "bf16" }), false);
  assertEquals(takesSubgroupMatrices(like(adapter({ maxComputeWorkgroupStorageSize: 16384 })), { dtype: "bf16" }), false);
  if (gpu.subgroupMatrices.length === 0) {
    using plan = new Plan(gpu);
    const weight = firstRows(asMatrix(plan.persistent([8, 8])), 8);
    assertThrows(
      () => linear(plan, { x: plan.scratch([8, 8]), weight, kernel: { variant: "subgroup_matrix" } }),
      Error,
      "has no subgroup matrices",
    );
  }
  await Promise.resolve();
});

Deno.test("subgroup matrices: the tile and the cut that leave the fewest cores of a large GPU idle", () => {
  const of = (
    rows: number,
    columns: number,
    depth: number,
    { form = "rows", ...limits }: { form?: Form; maxComputeWorkgroupStorageSize?: number } = {},
  ) => {
    const { matrixTile: tile, splits } = matrixTile(adapter(limits), form, { rows, columns, depth });
    return `${matrixTileName(tile)} / ${splits}`;
  };
  const small = { maxComputeWorkgroupStorageSize: 32768 };
  // what was measured to be the fastest
  assertEquals(of(1216, 37888, 3584), "128x128x32 by 2x2 / 1");
  assertEquals(of(1216, 37888, 3584, small), "128x128x32 by 2x2 / 1");
  assertEquals(of(4096, 3584, 18944), "128x128x64 by 4x2 / 1");
  assertEquals(of(1216, 3584, 37888, { form: "columns" }), "160x128x64 by 2x4 / 4");
  assertEquals(of(4096, 3584, 37888, { form: "columns" }), "128x256x32 by 2x4 / 2");
  assertEquals(of(1216, 18944, 3584, { form: "columns" }), "128x128x32 by 2x2 / 1");
  assertEquals(of(576, 3584, 5120), "64x64x64 by 2x2 / 1");
  assertEquals(of(576, 3584, 18944), "96x128x64 by 2x4 / 2");
  assertEquals(of(576, 1280, 1280), "64x64x64 by 2x2 / 1");
  // 280 tiles of 128 rows are three rounds of 132, 364 of 96 rows three shorter ones; 140 are two, 112 of 160 rows one
  assertEquals(of(1216, 3584, 3584), "96x128x64 by 2x4 / 1");
  assertEquals(of(576, 3584, 1024, { form: "columns" }), "160x128x64 by 2x4 / 1");
  // few rows: as many workgroups as there are cores
  assertEquals(of(12, 3584, 18944), "64x128x32 by 2x2 / 4");
  assertEquals(of(12, 512, 1024), "64x128x32 by 2x2 / 4");
  assertEquals(of(1, 8, 8), "64x128x32 by 2x2 / 1");
});

Deno.test("subgroup matrices: tiles that the adapter has the matrices, the memory and the invocations for", () => {
  const sizes = (gpu: Gpu) => new Set(matrixTiles(gpu, "rows").map(matrixTileName));
  const small = ["64x128x32 by 2x2", "64x64x64 by 2x2", "128x128x32 by 2x2"];
  const large = ["128x128x64 by 4x2", "256x128x32 by 4x2", "128x256x32 by 2x4", "256x128x32 by 8x2", "96x128x64 by 2x4"];
  assertEquals(sizes(adapter({})), new Set([...small, ...large]));
  assertEquals(sizes(adapter({ maxComputeWorkgroupStorageSize: 65536 })), new Set([...small, ...large, "160x128x64 by 2x4"]));
  assertEquals(sizes(adapter({ maxComputeWorkgroupStorageSize: 32768 })), new Set(small));
  assertEquals(sizes(adapter({ maxComputeWorkgroupStorageSize: 16384 })), new Set());
  assertEquals(sizes(adapter({ maxComputeInvocationsPerWorkgroup: 128 })), new Set(small));
  assertEquals(sizes(adapter({}, { rows: 64, columns: 64, depth: 16 })), new Set());
});
