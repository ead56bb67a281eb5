// 16-bit numbers, two in a word, the first in the low half.
const BFLOAT: bool = true; // bf16, else f16
@group(0) @binding(3) var<storage, read> source: array<u32>; // (rows, elements / 2)

fn load(row: u32, column: u32) -> Element {
  let i = row * params.elements + column;
  let bits = (source[i / 2u] >> (16u * (i % 2u))) & 0xffffu;
  if (BFLOAT) {
    return bitcast<f32>(bits << 16u);
  }
  return unpack2x16float(bits).x;
}
