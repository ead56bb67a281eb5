/** Quantised matrices for tests: made on the GPU, and as f64 what they stand for. */
import type { Gpu } from "../../kernels/gpu.ts";
import { createMatrix, type Matrix } from "../../kernels/linear/matrix.ts";
import { GROUP, type QuantizedType } from "../../kernels/linear/weight_types.ts";
import { Plan } from "../../kernels/plan.ts";
import { quantizeReference } from "../../kernels/quantize/_reference.ts";
import { quantizeRows, SCALE_DIVISORS } from "../../kernels/quantize/quantize.ts";

/** Divisors that are tried for a group's scale. */
export function divisorsOf(type: QuantizedType): number[] {
  const { first, step, count } = SCALE_DIVISORS[type];
  return Array.from({ length: count }, (_, i) => first + i * step);
}

/** Levels, scales and values by the reference. */
export function quantizedReference(weights: ArrayLike<number>, options: { columns: number; type: QuantizedType }) {
  return quantizeReference(weights, { ...options, group: GROUP, divisors: divisorsOf(options.type) });
}

/** A quantised matrix of f32 weights (rows, columns). The caller destroys it. */
export function quantizedMatrix(
  gpu: Gpu,
  shape: readonly [number, number],
  options: { type: QuantizedType; weights: Float32Array; maxBlockBytes?: number },
): Matrix {
  const { type, weights, maxBlockBytes } = options;
  const matrix = createMatrix(gpu, shape, { dtype: type, maxBlockBytes });
  using plan = new Plan(gpu);
  quantizeRows(plan, { source: plan.persistent(shape, { data: weights }), target: matrix, firstRow: 0 });
  plan.run();
  return matrix;
}

/** What a quantised matrix holds: levels (rows, columns), scales (rows, groups) and their products. */
export async function readQuantized(gpu: Gpu, matrix: Matrix): Promise<{ levels: number[]; scales: number[]; values: Float64Array }> {
  const { columns } = matrix;
  const levels: number[] = [];
  const scales: number[] = [];
  const values: number[] = [];
  for (const { tensor, scales: scaleTensor, rows } of matrix.blocks) {
    const [bytes, halves] = await gpu.read(tensor, scaleTensor!);
    const own = new Float16Array(halves.buffer).subarray(0, rows * scaleTensor!.shape[1]);
    scales.push(...own);
    for (let row = 0; row < rows; row++) {
      for (let column = 0; column < columns; column++) {
        const i = row * tensor.shape[1] + column;
        const level = tensor.dtype === "int8" ? bytes[i] - 128 : ((bytes[i >> 1] >> (4 * (i & 1))) & 15) - 8;
        levels.push(level);
        values.push(level * own[Math.floor(i / GROUP)]);
      }
    }
  }
  return { levels, scales, values: Float64Array.from(values) };
}

/** Share of levels that differ: a number between two levels may go either way in f32. */
export function differing(actual: ArrayLike<number>, expected: ArrayLike<number>): number {
  return Array.from(actual).filter((level, i) => level !== expected[i]).length / actual.length;
}
