import { assertEquals, assertThrows } from "@std/assert";
import { MaspError } from "../../../pipeline/errors.ts";
import { convertNumbers, toFloats } from "../../../pipeline/qwen2_vl/convert_numbers.ts";

const bytes = (array: ArrayBufferView) => new Uint8Array(array.buffer, array.byteOffset, array.byteLength);
const halves = (...bits: number[]) => bytes(Uint16Array.from(bits));
const bitsOf = (data: Uint8Array) => [...new Uint16Array(data.slice().buffer)];

Deno.test("number types: bf16 and f16 bits as floats, exactly", () => {
  assertEquals([...toFloats(halves(0x3f80, 0xc000, 0x3eaa, 0x0000, 0x7f80, 0x0001), "BF16")], [1, -2, 0.33203125, 0, Infinity, 2 ** -133]);
  assertEquals([...toFloats(halves(0x3c00, 0xc000, 0x3555, 0x7bff, 0x0001, 0xfc00), "F16")], [
    1,
    -2,
    0.333251953125,
    65504,
    2 ** -24,
    -Infinity,
  ]);
  assertEquals([...toFloats(bytes(Float32Array.of(0.1)), "F32")], [Math.fround(0.1)]);
});

Deno.test("number types: a piece of a larger buffer", () => {
  const all = halves(0, 0x3f80, 0x4000);
  assertEquals([...toFloats(all.subarray(2), "BF16")], [1, 2]);
});

Deno.test("number types: f32 to bf16 rounds to nearest, ties to even", () => {
  const values = [1, 1 + 2 ** -8, 1 + 3 * 2 ** -8, 1 + 2 ** -8 + 2 ** -20, -1 - 2 ** -9, 65280, Infinity, -0];
  const expected = [0x3f80, 0x3f80, 0x3f82, 0x3f81, 0xbf80, 0x477f, 0x7f80, 0x8000];
  assertEquals(bitsOf(convertNumbers(bytes(Float32Array.from(values)), { from: "F32", to: "bf16" })), expected);
  const [nan] = bitsOf(convertNumbers(bytes(Float32Array.of(NaN)), { from: "F32", to: "bf16" }));
  assertEquals((nan & 0x7f80) === 0x7f80 && (nan & 0x7f) !== 0, true, "NaN stays NaN");
  const nans = Uint32Array.of(0x7fffffff, 0xffffffff, 0x7f800001);
  assertEquals(bitsOf(convertNumbers(bytes(nans), { from: "F32", to: "bf16" })), [0x7fff, 0xffff, 0x7fc0]);
});

Deno.test("number types: other conversions, and none", () => {
  assertEquals(bitsOf(convertNumbers(halves(0x3f80, 0x4000), { from: "BF16", to: "f16" })), [0x3c00, 0x4000]);
  assertEquals(bitsOf(convertNumbers(halves(0x3c00), { from: "F16", to: "bf16" })), [0x3f80]);
  assertEquals([...new Float32Array(convertNumbers(halves(0x3f80), { from: "BF16", to: "f32" }).slice().buffer)], [1]);
  const same = halves(1, 2);
  assertEquals(convertNumbers(same, { from: "BF16", to: "bf16" }) === same, true);
  assertThrows(() => convertNumbers(halves(1), { from: "I8", to: "f32" }), MaspError, "Weights of type I8 cannot be used");
});
