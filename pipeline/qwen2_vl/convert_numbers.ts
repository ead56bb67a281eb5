/** Numbers of checkpoint files (little-endian F32, BF16, F16) in other number types. */
import type { FloatWeightType } from "../../kernels/linear/weight_types.ts";
import { toFloat32 } from "../checkpoint/tensor_data.ts";
import { MaspError } from "../errors.ts";

/**
 * Bytes in a file's number type as f32.
 *
 * @throws {MaspError} on a number type that weights do not come in
 */
export function toFloats(bytes: Uint8Array, dtype: string): Float32Array<ArrayBuffer> {
  if (dtype !== "F32" && dtype !== "F16" && dtype !== "BF16") {
    throw new MaspError(`Weights of type ${dtype} cannot be used; expected F32, BF16 or F16.`);
  }
  return toFloat32(bytes, dtype) as Float32Array<ArrayBuffer>;
}

/** Bytes in a file's number type in another one; the same bytes where nothing changes. Rounds to nearest, ties to even. */
export function convertNumbers(bytes: Uint8Array, types: { from: string; to: FloatWeightType }): Uint8Array {
  const { from, to } = types;
  if (from.toLowerCase() === to) return bytes;
  const floats = toFloats(bytes, from);
  if (to === "f32") return new Uint8Array(floats.buffer);
  if (to === "f16") return new Uint8Array(Float16Array.from(floats).buffer);
  const bits = new Uint32Array(floats.buffer);
  const half = new Uint16Array(bits.length);
  for (let i = 0; i < bits.length; i++) {
    const isNaN = (bits[i] & 0x7fffffff) > 0x7f800000;
    half[i] = isNaN ? bits[i] >>> 16 | 0x40 : (bits[i] + 0x7fff + ((bits[i] >>> 16) & 1)) >>> 16;
  }
  return new Uint8Array(half.buffer);
}
