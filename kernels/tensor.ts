/** Tensors: a shape and a number type over a part of a GPU buffer. */

/** Number types on the GPU. `bf16` and `f16` are packed two in a 32-bit word, little half first; `int8` and `int4` are for weights. */
export type DType = "f32" | "f16" | "bf16" | "u32" | "i32" | "int8" | "int4";

/** Bits of one element. */
const BITS: Record<DType, number> = { f32: 32, f16: 16, bf16: 16, u32: 32, i32: 32, int8: 8, int4: 4 };

/** Number of elements of a shape. */
export function sizeOf(shape: readonly number[]): number {
  return shape.reduce((a, b) => a * b, 1);
}

/** Bytes of a tensor, rounded up to whole 32-bit words. */
export function bytesOf(shape: readonly number[], dtype: DType): number {
  return Math.ceil(sizeOf(shape) * BITS[dtype] / 32) * 4;
}

/** The memory behind one or several tensors. Scratch storage of a plan gets its buffer when the plan is built. */
export class Storage {
  /** The GPU buffer; absent before a plan is built and after the tensor was destroyed. */
  buffer?: GPUBuffer;

  /**
   * Memory that is made when it is first used.
   *
   * @param bytes size
   * @param label name in error messages
   * @param scratch whether a plan decides where it lies and for how long
   */
  constructor(readonly bytes: number, readonly label: string, readonly scratch = false) {}
}

/** A shape and a number type over a storage. */
export class Tensor {
  /**
   * A view of a storage.
   *
   * @param storage the memory
   * @param shape dimensions, outermost first
   * @param dtype number type
   * @param offset where it begins in the storage, in bytes (a multiple of 256)
   */
  constructor(readonly storage: Storage, readonly shape: readonly number[], readonly dtype: DType = "f32", readonly offset = 0) {
    if (shape.some((n) => !Number.isInteger(n) || n < 0)) throw new Error(`"${storage.label}": no shape: (${shape.join(", ")})`);
    if (offset + bytesOf(shape, dtype) > storage.bytes) {
      throw new Error(`"${storage.label}": shape (${shape.join(", ")}) at byte ${offset} does not fit into ${storage.bytes} bytes`);
    }
  }

  /** Number of elements. */
  get size(): number {
    return sizeOf(this.shape);
  }

  /** Bytes, in whole 32-bit words. */
  get bytes(): number {
    return bytesOf(this.shape, this.dtype);
  }

  /** The storage's name. */
  get label(): string {
    return this.storage.label;
  }

  /** The same memory under another shape, from `byteOffset` (a multiple of 256) on. */
  view(shape: readonly number[], byteOffset = 0): Tensor {
    return new Tensor(this.storage, shape, this.dtype, this.offset + byteOffset);
  }
}

/**
 * Checks a tensor's shape and number type.
 *
 * @param shape expected dimensions; `-1` takes any
 * @throws {Error} naming the tensor, its shape and the expected one
 */
export function expectShape(tensor: Tensor, shape: readonly number[], dtype: DType = "f32"): void {
  const fits = tensor.shape.length === shape.length && shape.every((n, i) => n === -1 || n === tensor.shape[i]);
  if (!fits || tensor.dtype !== dtype) {
    throw new Error(`"${tensor.label}" is ${tensor.dtype} (${tensor.shape.join(", ")}); expected ${dtype} (${shape.join(", ")})`);
  }
}
