/** Random matrices of weights of every type for tests. */
import type { Gpu } from "../../kernels/gpu.ts";
import { createMatrix, type Matrix, writeMatrix } from "../../kernels/linear/matrix.ts";
import { GROUP, isQuantized, storedColumns, type WeightType } from "../../kernels/linear/weight_types.ts";
import { bytesOf } from "../../kernels/tensor.ts";
import { quantizedMatrix, readQuantized } from "./quantized_support.ts";
import { randomFloats } from "./support.ts";

/** A matrix (N, K) of random numbers or of given `values`, and what its rounded numbers stand for. The caller destroys it. */
export async function randomMatrix(
  gpu: Gpu,
  shape: readonly [number, number],
  options: { dtype: WeightType; seed?: number; scale?: number; values?: Float32Array<ArrayBuffer>; maxBlockBytes?: number },
): Promise<{ matrix: Matrix; values: Float64Array }> {
  const { dtype, maxBlockBytes, seed = 1, scale = 1, values: floats = randomFloats(shape[0] * shape[1], seed, { scale }) } = options;
  if (isQuantized(dtype)) {
    const matrix = quantizedMatrix(gpu, shape, { type: dtype, weights: floats, maxBlockBytes });
    return { matrix, values: (await readQuantized(gpu, matrix)).values };
  }
  const matrix = createMatrix(gpu, shape, { dtype, maxBlockBytes });
  if (dtype === "f32") writeMatrix(gpu, matrix, { data: new Uint8Array(floats.buffer) });
  if (dtype === "f16") {
    const half = Float16Array.from(floats);
    writeMatrix(gpu, matrix, { data: new Uint8Array(half.buffer) });
    return { matrix, values: Float64Array.from(half) };
  }
  if (dtype === "bf16") {
    const half = Uint16Array.from(new Uint32Array(floats.buffer), (bits) => (bits + 0x8000) >>> 16);
    writeMatrix(gpu, matrix, { data: new Uint8Array(half.buffer) });
    return { matrix, values: Float64Array.from(new Float32Array(Uint32Array.from(half, (bits) => bits << 16).buffer)) };
  }
  return { matrix, values: Float64Array.from(floats) };
}

/**
 * Bytes of a matrix on the GPU, scales included.
 *
 * @param shape rows and columns
 */
export function matrixBytes([rows, columns]: readonly [number, number], type: WeightType): number {
  const width = storedColumns(columns, type);
  return bytesOf([rows, width], type) + (isQuantized(type) ? bytesOf([rows, width / GROUP], "f16") : 0);
}
