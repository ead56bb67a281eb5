/** Element types of stored tensors, and their values as numbers. */

/** Bytes of one element, by the name that safetensors gives the type. F16 and BF16 are 16-bit floats, F8 are 8-bit floats. */
export const DTYPE_BYTES = {
  BOOL: 1,
  U8: 1,
  I8: 1,
  F8_E4M3: 1,
  F8_E5M2: 1,
  U16: 2,
  I16: 2,
  F16: 2,
  BF16: 2,
  U32: 4,
  I32: 4,
  F32: 4,
  U64: 8,
  I64: 8,
  F64: 8,
} as const;

/** Name of an element type, as in safetensors. */
export type TensorDtype = keyof typeof DTYPE_BYTES;

/** Array that holds a tensor's elements; F16, BF16 and F8 as their bits. */
export type TensorArray =
  | Uint8Array
  | Int8Array
  | Uint16Array
  | Int16Array
  | Uint32Array
  | Int32Array
  | Float32Array
  | Float64Array
  | BigInt64Array
  | BigUint64Array;

/** A tensor in host memory. */
export interface TensorData {
  /** Element type. */
  dtype: TensorDtype;
  /** Extents, outermost first; `[]` for a scalar. */
  shape: number[];
  /** The elements in row-major order; see {@linkcode typedArray} for the array that belongs to each type. */
  data: TensorArray;
}

/** Whether a text names an element type that is known here. */
export function isTensorDtype(name: unknown): name is TensorDtype {
  return typeof name === "string" && Object.hasOwn(DTYPE_BYTES, name);
}

/** Number of elements of a shape; 1 for a scalar. */
export function elementCount(shape: readonly number[]): number {
  return shape.reduce((product, extent) => product * extent, 1);
}

/** Whether two shapes are the same. */
export function sameShape(a: readonly number[], b: readonly number[]): boolean {
  return a.length === b.length && a.every((extent, i) => extent === b[i]);
}

/** A shape for messages: `(5, 128)`, and `(5,)` with one extent. */
export function showShape(shape: readonly number[]): string {
  return shape.length === 1 ? `(${shape[0]},)` : `(${shape.join(", ")})`;
}

/**
 * Little-endian bytes as the array that belongs to an element type: `Float32Array` for F32, `BigInt64Array` for I64, `Uint16Array` (bits)
 * for F16 and BF16, `Uint8Array` for BOOL and F8, and so on. It shares the bytes' memory where their alignment allows, else it is a copy.
 *
 * @param bytes A whole number of elements.
 * @param dtype Their type.
 */
export function typedArray(bytes: Uint8Array, dtype: TensorDtype): TensorArray {
  const width = DTYPE_BYTES[dtype];
  const { buffer, byteOffset } = bytes.byteOffset % width === 0 ? bytes : bytes.slice();
  return new ARRAYS[dtype](buffer as ArrayBuffer, byteOffset, bytes.byteLength / width);
}

/** The bytes of a typed array, sharing its memory. */
export function bytesOf(array: TensorArray): Uint8Array {
  return new Uint8Array(array.buffer as ArrayBuffer, array.byteOffset, array.byteLength);
}

/**
 * Little-endian floats as f32; every f16 and bf16 value is kept exactly. The result is always a copy.
 *
 * @param bytes A whole number of elements.
 * @param dtype F32, F16, BF16 or F64 (rounded).
 * @throws {TypeError} For a type that holds no floats of at least 16 bits.
 */
export function toFloat32(bytes: Uint8Array, dtype: TensorDtype): Float32Array {
  switch (dtype) {
    case "F32":
      return new Float32Array(bytes.slice().buffer);
    case "F16":
      return new Float32Array(new Float16Array(bytes.slice().buffer));
    case "BF16":
      return widenBfloat16(new Uint16Array(bytes.slice().buffer));
    case "F64":
      return new Float32Array(new Float64Array(bytes.slice().buffer));
  }
  throw new TypeError(`Elements of type ${dtype} cannot be read as f32; expected F32, F16, BF16 or F64`);
}

/** {@linkcode toFloat32} of a tensor in memory; an F32 tensor's own array, not a copy. */
export function asFloat32(tensor: TensorData): Float32Array {
  return tensor.data instanceof Float32Array ? tensor.data : toFloat32(bytesOf(tensor.data), tensor.dtype);
}

function widenBfloat16(bits: Uint16Array): Float32Array {
  const wide = new Uint32Array(bits.length);
  for (let i = 0; i < bits.length; i++) wide[i] = bits[i] << 16;
  return new Float32Array(wide.buffer);
}

const ARRAYS = {
  BOOL: Uint8Array,
  U8: Uint8Array,
  I8: Int8Array,
  F8_E4M3: Uint8Array,
  F8_E5M2: Uint8Array,
  U16: Uint16Array,
  I16: Int16Array,
  F16: Uint16Array,
  BF16: Uint16Array,
  U32: Uint32Array,
  I32: Int32Array,
  F32: Float32Array,
  U64: BigUint64Array,
  I64: BigInt64Array,
  F64: Float64Array,
} as const;
