/** What the kernel tests share: one device, random numbers, error measures, finite differences. */
import { type Gpu, requestGpu } from "../../kernels/gpu.ts";
import { takesSubgroupMatrices } from "../../kernels/linear/subgroup_matrix_choice.ts";
import { takesHalf } from "../../kernels/linear/takes_half.ts";
import type { WeightType } from "../../kernels/linear/weight_types.ts";
import "../set_up.ts";

export { relativeError } from "../../pipeline/golden/comparison.ts";

let shared: Promise<Gpu> | undefined;

/** The device of this test file. */
export function testGpu(): Promise<Gpu> {
  return shared ??= requestGpu();
}

/** What the product that an adapter chooses may differ by where it rounds factors, or even short sums, to f16. */
export function productTolerance(gpu: Gpu, dtype: WeightType): number {
  return takesSubgroupMatrices(gpu, { dtype }) ? 5e-4 : takesHalf(gpu, { dtype }) ? 2e-3 : 1e-6;
}

/** A kernel test: resources that outlive a single test (the device) are allowed. */
export function gpuTest(name: string, fn: (gpu: Gpu) => Promise<void>): void {
  Deno.test({ name, sanitizeOps: false, sanitizeResources: false, fn: async () => fn(await testGpu()) });
}

/** Seeded numbers, roughly normal, of standard deviation `scale`. */
export function randomFloats(count: number, seed: number, options: { scale?: number; mean?: number } = {}): Float32Array<ArrayBuffer> {
  const { scale = 1, mean = 0 } = options;
  let state = (seed * 2654435761 + 12345) >>> 0;
  const next = () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = state;
    t = Math.imul(t ^ (t >>> 15), t | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
  return Float32Array.from({ length: count }, () => mean + scale * (next() + next() + next() + next() - 2) * Math.sqrt(3));
}

/** Gradient of `sum(f(x) · dy)` with respect to x by central differences in f64. */
export function finiteDifference(
  f: (x: Float64Array) => ArrayLike<number>,
  x: ArrayLike<number>,
  options: { dy: ArrayLike<number>; eps?: number },
): Float64Array {
  const { dy, eps = 1e-5 } = options;
  const dot = (y: ArrayLike<number>) => Array.from(dy).reduce((sum, d, i) => sum + d * y[i], 0);
  const point = Float64Array.from(x);
  return Float64Array.from(point, (value, i) => {
    point[i] = value + eps;
    const above = dot(f(point));
    point[i] = value - eps;
    const below = dot(f(point));
    point[i] = value;
    return (above - below) / (2 * eps);
  });
}
