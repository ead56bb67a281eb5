import { assert, assertEquals, assertGreater, assertLess } from "@std/assert";
import type { Gpu } from "../../kernels/gpu.ts";
import { destroyMatrix, type Matrix, weightTensors, type WeightType } from "../../kernels/linear/matrix.ts";
import type { Epilogue, Form } from "../../kernels/linear/product_wgsl.ts";
import { takesSubgroupMatrices, TILES } from "../../kernels/linear/subgroup_matrix_choice.ts";
import { subgroupMatrixProduct } from "../../kernels/linear/subgroup_matrix_product.ts";
import { type MatrixTile, subgroupMatrixBytes, subgroupMatrixWgsl } from "../../kernels/linear/subgroup_matrix_wgsl.ts";
import { SUBGROUP_MATRICES } from "../../kernels/matrix_primitives.ts";
import { linearBackwardReference, linearReference } from "../../kernels/linear/_reference.ts";
import { Plan } from "../../kernels/plan.ts";
import type { SubgroupMatrixShape } from "../../kernels/subgroup_matrix.ts";
import { alignedBytes, matricesOf } from "./emulated_matrices.ts";
import { gpuTest, randomFloats, relativeError } from "./support.ts";
import { randomMatrix } from "./weights_support.ts";

const PLAIN: Epilogue = { bias: false, residual: false, accumulate: false };
const SMALL: { shape: SubgroupMatrixShape; tile: MatrixTile } = {
  shape: { rows: 8, columns: 8, depth: 8 },
  tile: { rows: 32, columns: 16, depth: 16 },
};

/** What the kernel makes of activations: f16 times the inverse of its row's power of two. */
function roundedRows(x: ArrayLike<number>, depth: number): Float64Array {
  const result = new Float64Array(x.length);
  for (let start = 0; start < x.length; start += depth) {
    const own = Array.from({ length: depth }, (_, i) => x[start + i]);
    const peak = Math.max(...own.map(Math.abs));
    const scale = peak ? 2 ** (14 - Math.floor(Math.log2(peak))) : 1;
    own.forEach((value, i) => result[start + i] = Math.f16round(value * scale) / scale);
  }
  return result;
}

interface Case {
  rows: number;
  weight: Matrix;
  dtype: WeightType;
  tensors: { a: Float32Array<ArrayBuffer>; bias?: Float32Array<ArrayBuffer>; residual?: Float32Array<ArrayBuffer> };
  /** What the result holds before. */
  before?: Float32Array<ArrayBuffer>;
  shape?: SubgroupMatrixShape;
  tile?: MatrixTile;
  splits?: number;
  largest?: number;
}

/** The product by matrices of a given shape, or by those that the adapter chooses. */
async function product(gpu: Gpu, form: Form, options: Case & { own?: boolean }): Promise<Float32Array> {
  const { rows, weight, dtype, tensors, before, shape = SMALL.shape, tile = SMALL.tile, splits, largest } = options;
  const [columns, depth] = form === "rows" ? [weight.rows, weight.columns] : [weight.columns, weight.rows];
  using plan = new Plan(gpu);
  const y = plan.persistent([rows, columns], { data: before });
  const given = Object.fromEntries(
    Object.entries(tensors).map((
      [name, data],
    ) => [name, plan.persistent(name === "bias" ? [columns] : [rows, data.length / rows], { data })]),
  );
  subgroupMatrixProduct(plan, form, {
    ...{ rows, columns, depth, dtype, rowStride: columns, firstColumn: 0 },
    ...(options.own ? {} : { shape, tile, splits, ...matricesOf(gpu, shape) }),
    largest,
    tensors: { ...given, ...weightTensors(weight.blocks[0]), y },
    epilogue: { bias: !!tensors.bias, residual: !!tensors.residual, accumulate: !!before },
  });
  plan.run();
  return await gpu.readFloats(y);
}

for (const dtype of ["bf16", "f16", "int8", "int4"] as const) {
  gpuTest(`subgroup matrices, ${dtype}: both directions equal the f64 reference of the rounded factors at odd sizes`, async (gpu) => {
    for (const [rows, inputs, outputs] of [[1, 4, 4], [5, 12, 20], [37, 100, 68], [33, 132, 36]]) {
      const { matrix: weight, values } = await randomMatrix(gpu, [outputs, inputs], { dtype, seed: 2 });
      const w = values.map(Math.f16round);
      const x = randomFloats(rows * inputs, 1);
      const dy = randomFloats(rows * outputs, 5);
      const bias = randomFloats(outputs, 3);
      const residual = randomFloats(rows * outputs, 4);
      const y = await product(gpu, "rows", { rows, weight, dtype, tensors: { a: x, bias, residual } });
      const expected = linearReference(roundedRows(x, inputs), w, { rows, inputs, outputs, bias }).map((v, i) => v + residual[i]);
      const what = `(${rows}, ${inputs}, ${outputs})`;
      assertLess(relativeError(y, expected), 2e-6, what);
      if (takesSubgroupMatrices(gpu, { dtype })) {
        const own = await product(gpu, "rows", { rows, weight, dtype, tensors: { a: x, bias, residual }, own: true });
        assertLess(relativeError(own, expected), 2e-6, `the adapter's own ${what}`);
      }
      const before = randomFloats(rows * inputs, 6);
      const dx = await product(gpu, "columns", { rows, weight, dtype, tensors: { a: dy }, before });
      const expectedDx = linearBackwardReference(roundedRows(dy, outputs), { x, weight: w, rows, inputs, outputs }).dx;
      assertLess(relativeError(dx, expectedDx.map((v, i) => v + before[i])), 2e-6, `backward ${what}`);
      if (takesSubgroupMatrices(gpu, { dtype })) {
        const own = await product(gpu, "columns", { rows, weight, dtype, tensors: { a: dy }, before, own: true });
        assertLess(relativeError(own, expectedDx.map((v, i) => v + before[i])), 2e-6, `the adapter's own backward ${what}`);
      }
      const exact = linearReference(x, values, { rows, inputs, outputs, bias }).map((v, i) => v + residual[i]);
      assertLess(relativeError(y, exact), 5e-4, `unrounded ${what}`);
      destroyMatrix(gpu, weight);
    }
  });
}

gpuTest("subgroup matrices: the shapes of NVIDIA's, other tiles", async (gpu) => {
  const [rows, inputs, outputs] = [70, 68, 76];
  const { matrix: weight, values } = await randomMatrix(gpu, [outputs, inputs], { dtype: "bf16", seed: 2 });
  const x = randomFloats(rows * inputs, 1);
  const expected = linearReference(roundedRows(x, inputs), values, { rows, inputs, outputs });
  for (
    const [shape, tile] of [
      [{ rows: 16, columns: 16, depth: 16 }, { rows: 32, columns: 32, depth: 16 }],
      [{ rows: 16, columns: 8, depth: 16 }, { rows: 32, columns: 16, depth: 32 }],
      [{ rows: 8, columns: 8, depth: 8 }, { rows: 16, columns: 48, depth: 24 }],
      [{ rows: 8, columns: 8, depth: 8 }, { rows: 32, columns: 16, depth: 16, down: 4, across: 2 }],
      [{ rows: 8, columns: 8, depth: 8 }, { rows: 8, columns: 32, depth: 8, down: 1, across: 4 }],
    ] satisfies [SubgroupMatrixShape, MatrixTile][]
  ) {
    const y = await product(gpu, "rows", { rows, weight, dtype: "bf16", tensors: { a: x }, shape, tile });
    assertLess(relativeError(y, expected), 2e-6, JSON.stringify(tile));
  }
  destroyMatrix(gpu, weight);
});

gpuTest("subgroup matrices: tiles whose rows are read in four parts, which are handed out in another order", async (gpu) => {
  const tile: MatrixTile = { rows: 32, columns: 16, depth: 32 };
  for (const [rows, inputs, outputs] of [[37, 8, 24], [5, 72, 40], [33, 136, 16]]) {
    const { matrix: weight, values } = await randomMatrix(gpu, [outputs, inputs], { dtype: "bf16", seed: 2 });
    const [x, dy] = [randomFloats(rows * inputs, 1), randomFloats(rows * outputs, 5)];
    const expected = linearReference(roundedRows(x, inputs), values, { rows, inputs, outputs });
    const { dx } = linearBackwardReference(roundedRows(dy, outputs), { x, weight: values, rows, inputs, outputs });
    const common = { rows, weight, dtype: "bf16" as const, tile };
    const what = `(${rows}, ${inputs}, ${outputs})`;
    assertLess(relativeError(await product(gpu, "rows", { ...common, tensors: { a: x } }), expected), 2e-6, what);
    const parts = await product(gpu, "columns", { ...common, tensors: { a: dy }, splits: 3 });
    assertLess(relativeError(parts, dx), 2e-6, `backward ${what}`);
    destroyMatrix(gpu, weight);
  }
});

gpuTest("subgroup matrices: rows of any size stay in range, rows of zeros give zeros, what is not finite stays so", async (gpu) => {
  const [inputs, outputs] = [68, 20];
  const scales = [1e6, 1, 1e-6, 1e30, 1e-30, 0, 65504, 3e38];
  const { matrix: weight, values } = await randomMatrix(gpu, [outputs, inputs], { dtype: "bf16", seed: 2, scale: 0.01 });
  const x = randomFloats(scales.length * inputs, 1).map((v, i) => v * scales[Math.floor(i / inputs)] / 4);
  const y = await product(gpu, "rows", { rows: scales.length, weight, dtype: "bf16", tensors: { a: x } });
  const expected = linearReference(x, values, { rows: scales.length, inputs, outputs });
  scales.forEach((scale, row) => {
    const own = (all: ArrayLike<number>) => Array.from({ length: outputs }, (_, i) => all[row * outputs + i]);
    assertLess(relativeError(own(y), own(expected)), 5e-4, `a row of size ${scale}`);
  });
  for (const bad of [Infinity, NaN]) {
    const broken = randomFloats(2 * inputs, 1);
    broken[3] = bad;
    const z = await product(gpu, "rows", { rows: 2, weight, dtype: "bf16", tensors: { a: broken } });
    assert(z.subarray(0, outputs).every((v) => !Number.isFinite(v)), `${bad} got lost`);
    assert(z.subarray(outputs).every(Number.isFinite), `${bad} spread to another row`);
  }
  destroyMatrix(gpu, weight);
});

gpuTest("subgroup matrices: weights beyond f16 become its largest numbers, small ones lose at most 2^-25", async (gpu) => {
  const weights = Float32Array.of(2 ** 17, -(2 ** 100), 2 ** -14, 2 ** -20, 1.5 * 2 ** -24, 2 ** -30, 1, -1);
  const { matrix: weight } = await randomMatrix(gpu, [8, 4], {
    dtype: "bf16",
    values: Float32Array.from({ length: 32 }, (_, i) => i % 4 ? 0 : weights[i / 4]),
  });
  const y = await product(gpu, "rows", { rows: 1, weight, dtype: "bf16", tensors: { a: Float32Array.of(1, 0, 0, 0) } });
  assertEquals([...y.subarray(0, 2), ...y.subarray(6)], [65504, -65504, 1, -1]);
  for (let i = 2; i < 6; i++) assert(Math.abs(y[i] - weights[i]) <= 2 ** -25, `${weights[i]} became ${y[i]}`);
  destroyMatrix(gpu, weight);
});

gpuTest("subgroup matrices: blocks of a matrix share their rows, other activations do not", async (gpu) => {
  const { matrix: weight } = await randomMatrix(gpu, [24, 8], { dtype: "f16", seed: 2 });
  using plan = new Plan(gpu);
  const [a, other] = [plan.persistent([5, 8]), plan.persistent([5, 8])];
  const y = plan.persistent([5, 24]);
  const common = { rows: 5, columns: 24, depth: 8, dtype: "f16" as const, epilogue: PLAIN, rowStride: 24, firstColumn: 0 };
  const record = (x: typeof a) =>
    subgroupMatrixProduct(plan, "rows", {
      ...{ ...common, ...SMALL, ...matricesOf(gpu, SMALL.shape) },
      tensors: { a: x, ...weightTensors(weight.blocks[0]), y },
    });
  const lengths = [a, a, other, a].map((x) => {
    record(x);
    return plan.length;
  });
  plan.copy(other, a);
  record(a);
  assertEquals([...lengths, plan.length], [2, 3, 5, 7, 10]);
  destroyMatrix(gpu, weight);
});

gpuTest("subgroup matrices: tiles of different depths share rows that both fill up to the same length", async (gpu) => {
  for (const [depth, steps] of [[32, 1], [16, 2]]) {
    const { matrix: weight } = await randomMatrix(gpu, [24, depth], { dtype: "f16", seed: 2 });
    using plan = new Plan(gpu);
    const [a, y] = [plan.persistent([5, depth]), plan.persistent([5, 24])];
    const added = [16, 32].map((tileDepth) => {
      const before = plan.length;
      subgroupMatrixProduct(plan, "rows", {
        ...{ rows: 5, columns: 24, depth, dtype: "f16", epilogue: PLAIN, rowStride: 24, firstColumn: 0 },
        ...{ shape: SMALL.shape, tile: { ...SMALL.tile, depth: tileDepth }, ...matricesOf(gpu, SMALL.shape) },
        tensors: { a, ...weightTensors(weight.blocks[0]), y },
      });
      return plan.length - before;
    });
    assertEquals(added, [2, steps]);
    destroyMatrix(gpu, weight);
  }
});

gpuTest(
  "subgroup matrices: weights read in eights or fours, the summed dimension whole or in parts, odd sizes of all kinds",
  async (gpu) => {
    const tile: MatrixTile = { rows: 16, columns: 32, depth: 16, down: 2, across: 2 };
    for (const dtype of ["bf16", "f16", "int4"] as const) {
      for (const [rows, inputs, outputs] of [[19, 72, 44], [3, 140, 88]]) {
        const { matrix: weight, values } = await randomMatrix(gpu, [outputs, inputs], { dtype, seed: 2 });
        const w = values.map(Math.f16round);
        const [x, dy, bias, residual] = [rows * inputs, rows * outputs, outputs, rows * outputs].map((n, i) => randomFloats(n, i + 1));
        const before = randomFloats(rows * inputs, 6);
        const expected = linearReference(roundedRows(x, inputs), w, { rows, inputs, outputs, bias }).map((v, i) => v + residual[i]);
        const dx = linearBackwardReference(roundedRows(dy, outputs), { x, weight: w, rows, inputs, outputs }).dx.map((v, i) =>
          v + before[i]
        );
        for (const splits of dtype === "bf16" ? [1, 3] : [3]) {
          const what = `${dtype} (${rows}, ${inputs}, ${outputs}) in ${splits}`;
          const common = { rows, weight, dtype, tile, splits, largest: 8 };
          const y = await product(gpu, "rows", { ...common, tensors: { a: x, bias, residual } });
          assertLess(relativeError(y, expected), 2e-6, what);
          assertLess(
            relativeError(await product(gpu, "columns", { ...common, tensors: { a: dy }, before }), dx),
            2e-6,
            `backward ${what}`,
          );
        }
        destroyMatrix(gpu, weight);
      }
    }
  },
);

Deno.test("subgroup matrices: a text for every form, as much workgroup memory as was said", () => {
  for (const form of ["rows", "columns"] as const) {
    for (const shape of [{ rows: 16, columns: 16, depth: 16 }, { rows: 8, columns: 8, depth: 8 }]) {
      const options = { dtype: "bf16", epilogue: PLAIN, shape, lanes: 32, primitives: SUBGROUP_MATRICES } as const;
      for (const tile of TILES) {
        const { code, tileRows } = subgroupMatrixWgsl(form, { ...options, tile });
        assertEquals(tileRows, tile.rows);
        assertEquals(alignedBytes(code), subgroupMatrixBytes(form, { tile, shape }));
        assertGreater(code.split("subgroupMatrixMultiplyAccumulate").length, 4);
        assert(code.includes("clamp(vec4<f16>("));
        assert(!subgroupMatrixWgsl(form, { ...options, tile, bounded: false }).code.includes("clamp(vec4<f16>("));
      }
    }
  }
});
