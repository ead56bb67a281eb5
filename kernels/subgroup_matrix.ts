/** Which subgroup matrices (tensor cores) an adapter has. The feature is experimental: Dawn's, under Chromium's name. */

/** Matrices that subgroups multiply: C (M, N) f32 += A (M, K) f16 · B (K, N) f16. */
export interface SubgroupMatrixShape {
  /** M */
  readonly rows: number;
  /** N */
  readonly columns: number;
  /** K */
  readonly depth: number;
}

/** Dawn's description of one combination. */
interface SubgroupMatrixConfig {
  readonly componentType: string;
  readonly resultComponentType: string;
  readonly M: number;
  readonly N: number;
  readonly K: number;
}

/** The shapes with f16 factors and f32 sums among those that an adapter lists, in its order. */
export function subgroupMatrixShapes(info: GPUAdapterInfo): SubgroupMatrixShape[] {
  const { subgroupMatrixConfigs = [] } = info as { subgroupMatrixConfigs?: Iterable<SubgroupMatrixConfig> };
  return [...subgroupMatrixConfigs]
    .filter(({ componentType, resultComponentType }) => componentType === "f16" && resultComponentType === "f32")
    .map(({ M, N, K }) => ({ rows: M, columns: N, depth: K }));
}

/** Those that do the most at once. */
export function largestMatrices(shapes: readonly SubgroupMatrixShape[]): SubgroupMatrixShape | undefined {
  const size = ({ rows, columns, depth }: SubgroupMatrixShape) => rows * columns * depth;
  return shapes.reduce<SubgroupMatrixShape | undefined>((best, shape) => best && size(best) >= size(shape) ? best : shape, undefined);
}
