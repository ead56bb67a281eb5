import { assertEquals, assertNotEquals, assertThrows } from "@std/assert";
import { bytesOf, showShape, toFloat32, typedArray } from "../../../pipeline/checkpoint/tensor_data.ts";

Deno.test("tensor data: f32, f16, bf16 and f64 as f32, at any byte offset", () => {
  const at = (array: ArrayBufferView, shift: number) => {
    const bytes = new Uint8Array(array.byteLength + shift);
    bytes.set(new Uint8Array(array.buffer), shift);
    return bytes.subarray(shift);
  };
  const values = [0, -1.5, 0.333251953125, 65504, Infinity];
  for (const shift of [0, 1, 3]) {
    assertEquals([...toFloat32(at(new Float32Array([0.1, -3]), shift), "F32")], [Math.fround(0.1), -3]);
    assertEquals([...toFloat32(at(new Float16Array(values), shift), "F16")], values);
    assertEquals([...toFloat32(at(new Uint16Array([0x3f80, 0xbfc0, 0x7f80, 0x0001]), shift), "BF16")], [1, -1.5, Infinity, 2 ** -133]);
    assertEquals([...toFloat32(at(new Float64Array([0.1]), shift), "F64")], [Math.fround(0.1)]);
    assertEquals([...typedArray(at(new BigInt64Array([-5n]), shift), "I64")], [-5n]);
  }
});

Deno.test("tensor data: toFloat32 copies, and refuses integers", () => {
  const source = new Float32Array([1, 2]);
  const copy = toFloat32(bytesOf(source), "F32");
  source[0] = 9;
  assertEquals(copy[0], 1);
  assertNotEquals(copy.buffer, source.buffer);
  assertThrows(() => toFloat32(new Uint8Array(8), "I64"), TypeError, "I64");
});

Deno.test("tensor data: shapes in messages as PyTorch users know them", () => {
  assertEquals([[], [5], [5, 128]].map(showShape), ["()", "(5,)", "(5, 128)"]);
});
