/**
 * A matrix of weights on the GPU, cut into row blocks where it is larger than one binding may be.
 * Letters: N rows (outputs), K columns (inputs).
 */
import { type Gpu, GpuError } from "../gpu.ts";
import { bytesOf, type DType, type Tensor } from "../tensor.ts";
import { GROUP, isQuantized, storedColumns, type WeightType } from "./weight_types.ts";

export type { FloatWeightType, QuantizedType, WeightType } from "./weight_types.ts";

/** Some of a matrix's rows. */
export interface MatrixBlock {
  /** Number of the block's first row in the matrix. */
  readonly start: number;
  /** How many rows it has. */
  readonly rows: number;
  /** (rows, K); of quantised weights (rows, K rounded up to whole groups). `keepInHalf` puts another number type in its place while a model is loaded. */
  tensor: Tensor;
  /** Scales of quantised weights (rows, groups of a row) f16. */
  readonly scales?: Tensor;
  /** Largest magnitude of a weight, where it was measured: products that sum in f16 scale their other factor by it. See `largest_weight.ts`. */
  largest?: number;
}

/** A matrix (N, K) in blocks of rows. */
export interface Matrix {
  /** N */
  readonly rows: number;
  /** K */
  readonly columns: number;
  /** The blocks, in order. */
  readonly blocks: readonly MatrixBlock[];
}

/** Options of {@linkcode createMatrix}. */
export interface CreateMatrixOptions {
  /** Number type; f32 when left out. */
  dtype?: WeightType;
  /** Name in error messages. */
  label?: string;
  /** Largest block in bytes; the adapter's binding limit when left out. */
  maxBlockBytes?: number;
}

/** Numbers of a row that the kernels with tiles read at once, at most. */
const DEEPEST_TILE = 32;

/**
 * Rows of memory for so many rows of weights: kernels read whole fours of rows, and whole tiles of a row, and multiply by zeros what is not of the
 * matrix. It has to be finite, and a part of the buffer where the implementation checks no places.
 */
function roomFor(rows: number, width: number): number {
  const behind = width % DEEPEST_TILE ? Math.ceil(DEEPEST_TILE / width) : 0;
  return Math.ceil((rows + behind) / 4) * 4;
}

/**
 * Memory for a matrix.
 *
 * @param shape [N, K]
 * @throws {GpuError} when a single row is larger than one binding may be
 */
export function createMatrix(gpu: Gpu, shape: readonly [number, number], options: CreateMatrixOptions = {}): Matrix {
  const { dtype = "f32", label = "matrix", maxBlockBytes = gpu.maxBindingBytes } = options;
  const [rows, columns] = shape;
  // Whole groups of 4 rows, so that a block of 16-bit numbers begins and ends at a whole word whatever K is.
  const width = storedColumns(columns, dtype);
  const perBlock = Math.floor(maxBlockBytes / Math.max(1, bytesOf([4, width], dtype))) * 4;
  if (perBlock < 1) {
    throw new GpuError(`"${label}": four rows of ${columns} ${dtype} numbers are larger than one binding may be (${maxBlockBytes} bytes)`);
  }
  const blocks: MatrixBlock[] = [];
  const made: Tensor[] = [];
  const tensorOf = ([rows, width]: readonly [number, number], options: { dtype: DType; label: string }) => {
    const tensor = gpu.tensor([roomFor(rows, width), width], options);
    made.push(tensor);
    return tensor.view([rows, width]);
  };
  try {
    for (let start = 0; start < rows; start += perBlock) {
      const count = Math.min(perBlock, rows - start);
      const name = `${label}[${start}..${start + count})`;
      const tensor = tensorOf([count, width], { dtype, label: name });
      const scales = isQuantized(dtype) ? tensorOf([count, width / GROUP], { dtype: "f16", label: `${name} scales` }) : undefined;
      blocks.push({ start, rows: count, tensor, scales });
    }
  } catch (error) {
    gpu.destroy(...made); // no room for all of it
    throw error;
  }
  return { rows, columns, blocks };
}

/** A block's tensors by the names of the bindings that kernels read weights from. */
export function weightTensors({ tensor, scales }: MatrixBlock): Record<string, Tensor> {
  return scales ? { w: tensor, scales } : { w: tensor };
}

/** What products with a matrix may round their factors to: f16, unless its weights are f32. */
export function factorPrecision({ blocks }: Matrix): "f32" | "f16" {
  return blocks.some(({ tensor }) => tensor.dtype === "f32") ? "f32" : "f16";
}

/** An f32 tensor (N, K) as a matrix. */
export function asMatrix(tensor: Tensor): Matrix {
  const [rows, columns] = tensor.shape;
  return { rows, columns, blocks: [{ start: 0, rows, tensor }] };
}

/** Matrices on top of each other as one, without a copy. Their number types may differ. */
export function stack(...parts: Matrix[]): Matrix {
  const { columns } = parts[0];
  const blocks: MatrixBlock[] = [];
  let rows = 0;
  for (const part of parts) {
    if (part.columns !== columns) throw new Error(`cannot stack matrices of ${columns} and ${part.columns} columns`);
    for (const block of part.blocks) blocks.push({ ...block, start: rows + block.start });
    rows += part.rows;
  }
  return { rows, columns, blocks };
}

/** The first `rows` rows of a matrix, without a copy. */
export function firstRows(matrix: Matrix, rows: number): Matrix {
  if (rows > matrix.rows) throw new Error(`a matrix of ${matrix.rows} rows has no first ${rows}`);
  const blocks = matrix.blocks.filter((block) => block.start < rows).map((block) => {
    const count = Math.min(block.rows, rows - block.start);
    const cut = (tensor: Tensor) => tensor.view([count, tensor.shape[1]]);
    return { ...block, rows: count, tensor: cut(block.tensor), scales: block.scales && cut(block.scales) };
  });
  return { rows, columns: matrix.columns, blocks };
}

/**
 * Writes bytes into a matrix, given in the matrix's own number type (quantised ones are written by `quantizeRows`).
 *
 * @param options `byteOffset` counts from the matrix's first number, a multiple of 4
 * @throws {Error} when the bytes reach beyond the last row, or the matrix has scales
 */
export function writeMatrix(gpu: Gpu, matrix: Matrix, options: { byteOffset?: number; data: Uint8Array }): void {
  let { byteOffset = 0, data } = options;
  for (const block of matrix.blocks) {
    if (data.length === 0) return;
    if (block.scales) throw new Error(`"${block.tensor.label}" is ${block.tensor.dtype}: its weights come from quantizeRows`);
    const blockBytes = block.rows * matrix.columns * (block.tensor.dtype === "f32" ? 4 : 2);
    if (byteOffset < blockBytes) {
      const bytes = Math.min(data.length, blockBytes - byteOffset);
      gpu.write(block.tensor, data.subarray(0, bytes), { byteOffset });
      data = data.subarray(bytes);
      byteOffset += bytes;
    }
    byteOffset -= blockBytes;
  }
  if (data.length > 0) throw new Error(`${data.length} bytes more than the matrix has room for`);
}

/** Frees a matrix. */
export function destroyMatrix(gpu: Gpu, matrix: Matrix): void {
  gpu.destroy(...matrix.blocks.flatMap(({ tensor, scales }) => scales ? [tensor, scales] : [tensor]));
}
