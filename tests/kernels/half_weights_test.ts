import { assertEquals, assertNotEquals } from "@std/assert";
import { requestGpu } from "../../kernels/gpu.ts";
import { keepInHalf, keptType, roundToHalf } from "../../kernels/linear/half_weights.ts";
import { createMatrix, destroyMatrix, writeMatrix } from "../../kernels/linear/matrix.ts";
import { gpuTest, randomFloats } from "./support.ts";

/** bf16 numbers that are f16 numbers, and some that are too small for it. */
function numbers(count: number): { bits: Uint16Array<ArrayBuffer>; values: Float32Array } {
  const floats = randomFloats(count, 1).map((value, i) => value * 2 ** -(i % 40)); // as far as f16 has numbers, and farther
  const bits = Uint16Array.from(new Uint32Array(floats.buffer), (word) => word >>> 16);
  const words = Uint32Array.from(bits, (word) => word << 16);
  return { bits, values: new Float32Array(words.buffer) };
}

gpuTest("weights from bf16 to f16: in their place, each rounded once, in every block", async (gpu) => {
  const [rows, columns] = [11, 20];
  const matrix = createMatrix(gpu, [rows, columns], { dtype: "bf16", maxBlockBytes: 4 * columns * 2 });
  const { bits, values } = numbers(rows * columns);
  writeMatrix(gpu, matrix, { data: new Uint8Array(bits.buffer) });
  const storages = matrix.blocks.map(({ tensor }) => tensor.storage);
  roundToHalf(gpu, matrix.blocks);
  assertEquals(matrix.blocks.map(({ tensor }) => tensor.storage), storages);
  const read = await gpu.read(...matrix.blocks.map(({ tensor }) => tensor));
  const actual = read.flatMap((bytes) => [...new Float16Array(bytes.buffer, bytes.byteOffset, bytes.length / 2)]);
  const expected = Array.from(values, Math.f16round);
  assertEquals(matrix.blocks.map(({ tensor }) => tensor.dtype), ["f16", "f16", "f16"]);
  actual.forEach((value, i) => {
    const exact = Math.abs(values[i]) >= 2 ** -14;
    // a driver may round what is below f16's normal numbers to either side, or to zero
    if (exact) assertEquals(value, values[i]);
    else assertEquals(Math.abs(value - expected[i]) <= 2 ** -14, true, `${values[i]}: ${value}`);
  });
  assertNotEquals(expected, Array.from(values)); // some are rounded
  destroyMatrix(gpu, matrix);
});

Deno.test("weights are kept in f16 where tensor cores take them, if none may be beyond its range", async () => {
  await using gpu = await requestGpu();
  const types = () => (["bf16", "f16", "f32", "int8"] as const).map((dtype) => keptType(gpu, dtype));
  Object.defineProperty(gpu, "subgroupMatrices", { value: [], configurable: true });
  assertEquals(types(), ["bf16", "f16", "f32", "int8"]);
  Object.defineProperties(gpu, {
    precision: { value: "f16" },
    has: { value: () => true },
    subgroupSize: { value: 32 },
    subgroupMatrices: { value: [{ rows: 16, columns: 16, depth: 16 }] },
  });
  assertEquals(types(), ["f16", "f16", "f32", "int8"]);
  const made = [1, 65504, 65536, undefined].map((largest) => {
    const matrix = createMatrix(gpu, [4, 8], { dtype: "bf16" });
    matrix.blocks[0].largest = largest;
    return matrix;
  });
  keepInHalf(gpu, made);
  assertEquals(made.map(({ blocks }) => blocks[0].tensor.dtype), ["f16", "f16", "bf16", "bf16"]);
  made.forEach((matrix) => destroyMatrix(gpu, matrix));
});
