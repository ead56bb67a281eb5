import { assert, assertEquals, assertLess, assertThrows } from "@std/assert";
import { createMatrix, destroyMatrix } from "../../kernels/linear/matrix.ts";
import type { QuantizedType } from "../../kernels/linear/weight_types.ts";
import { matrixBytes } from "./weights_support.ts";
import { Plan } from "../../kernels/plan.ts";
import { quantizeRows } from "../../kernels/quantize/quantize.ts";
import { differing, quantizedMatrix, quantizedReference, readQuantized } from "./quantized_support.ts";
import { gpuTest, randomFloats, relativeError } from "./support.ts";

const TYPES: readonly QuantizedType[] = ["int8", "int4"];
const SHAPES: [number, number][] = [[1, 1], [3, 5], [7, 128], [5, 131], [9, 256], [13, 400], [2, 1027]];

for (const type of TYPES) {
  gpuTest(`quantize, ${type}: levels and scales equal the reference at odd sizes`, async (gpu) => {
    for (const [rows, columns] of SHAPES) {
      const weights = randomFloats(rows * columns, columns, { scale: 0.02 });
      const matrix = quantizedMatrix(gpu, [rows, columns], { type, weights });
      const actual = await readQuantized(gpu, matrix);
      const expected = quantizedReference(weights, { columns, type });
      assertEquals(actual.scales, [...expected.scales], `scales (${rows}, ${columns})`);
      assertLess(differing(actual.levels, expected.levels), 1e-3, `levels (${rows}, ${columns})`);
      assertEquals(matrix.blocks[0].tensor.bytes + matrix.blocks[0].scales!.bytes, matrixBytes([rows, columns], type));
      destroyMatrix(gpu, matrix);
    }
  });

  gpuTest(`quantize, ${type}: 16-bit sources, written in parts into several blocks`, async (gpu) => {
    const rows = 23;
    for (const [dtype, columns] of [["bf16", 131], ["bf16", 260], ["f16", 131]] as const) { // a short last group
      const floats = randomFloats(rows * columns, 4, { scale: 0.02 });
      const halves = dtype === "bf16"
        ? Uint16Array.from(new Uint32Array(floats.buffer), (bits) => bits >>> 16)
        : new Uint16Array(Float16Array.from(floats).buffer);
      const weights = dtype === "bf16"
        ? new Float32Array(Uint32Array.from(halves, (bits) => bits << 16).buffer)
        : Float32Array.from(new Float16Array(halves.buffer));
      const matrix = createMatrix(gpu, [rows, columns], { dtype: type, maxBlockBytes: 8 * 256 });
      assert(matrix.blocks.length > 1);
      for (const [first, end] of [[0, 5], [5, 6], [6, 19], [19, 23]]) {
        using plan = new Plan(gpu);
        const source = plan.persistent([end - first, columns], { dtype, data: halves.slice(first * columns, end * columns) });
        quantizeRows(plan, { source, target: matrix, firstRow: first });
        plan.run();
      }
      const actual = await readQuantized(gpu, matrix);
      const expected = quantizedReference(weights, { columns, type });
      assertEquals(actual.scales, [...expected.scales]);
      assertLess(differing(actual.levels, expected.levels), 1e-3);
      destroyMatrix(gpu, matrix);
    }
  });
}

gpuTest("quantize: how far the weights are off, and that trying scales pays", async (gpu) => {
  const [rows, columns] = [64, 512];
  const weights = randomFloats(rows * columns, 1, { scale: 0.02 });
  const errors: Record<string, number> = {};
  for (const type of TYPES) {
    const matrix = quantizedMatrix(gpu, [rows, columns], { type, weights });
    errors[type] = relativeError((await readQuantized(gpu, matrix)).values, weights);
    destroyMatrix(gpu, matrix);
  }
  const plain = relativeError(quantizedAbsMax7(weights), weights);
  assertLess(errors.int8, 7e-3);
  assertLess(errors.int4, 0.1);
  assertLess(errors.int4, 0.87 * plain);
});

/** Levels from -7 to 7 by the largest number of each group: what is usual. */
function quantizedAbsMax7(weights: Float32Array): Float64Array {
  const values = new Float64Array(weights.length);
  for (let start = 0; start < weights.length; start += 128) {
    const own = weights.subarray(start, start + 128);
    const scale = Math.max(...own.map(Math.abs)) / 7;
    own.forEach((value, i) => values[start + i] = Math.round(value / scale) * scale);
  }
  return values;
}

gpuTest("quantize: zeros stay zeros, single numbers are kept, numbers that are not finite show", async (gpu) => {
  for (const type of TYPES) {
    const columns = 3 * 128;
    const weights = new Float32Array(2 * columns);
    weights[130] = -0.75; // a group of one number
    weights[131] = 0;
    weights[columns] = Infinity;
    weights[columns + 200] = NaN;
    weights[columns + 300] = 2;
    const matrix = quantizedMatrix(gpu, [2, columns], { type, weights });
    const { values } = await readQuantized(gpu, matrix);
    assert(values.subarray(0, 128).every((value) => value === 0));
    assertLess(Math.abs(values[130] + 0.75), 5e-4, "an f16 scale");
    assert(values[131] === 0);
    assert([0, 100, 128, 200].every((i) => Number.isNaN(values[columns + i])), "a damaged group is NaN");
    assertLess(Math.abs(values[columns + 300] - 2), 2e-3);
    destroyMatrix(gpu, matrix);
  }
});

gpuTest("quantize: what does not fit is named", (gpu) => {
  using plan = new Plan(gpu);
  const source = plan.persistent([4, 8], { label: "weights" });
  const target = createMatrix(gpu, [6, 8], { dtype: "int8", label: "target" });
  assertThrows(() => quantizeRows(plan, { source, target, firstRow: 3 }), Error, "rows 3 to 7 of a matrix of 6 rows");
  assertThrows(() => quantizeRows(plan, { source: plan.persistent([4, 9]), target, firstRow: 0 }), Error, "expected f32 (-1, 8)");
  const floats = createMatrix(gpu, [4, 8], { label: "floats" });
  assertThrows(() => quantizeRows(plan, { source, target: floats, firstRow: 0 }), Error, '"floats[0..4)" is f32; expected int8 or int4');
  destroyMatrix(gpu, target);
  destroyMatrix(gpu, floats);
  return Promise.resolve();
});
