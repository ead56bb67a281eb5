// 16-bit numbers, four in two words, the first in the low half of the first word.
const BFLOAT: bool = true; // bf16, else f16
@group(0) @binding(3) var<storage, read> source: array<vec2<u32>>; // (rows, elements)

fn load(row: u32, column: u32) -> Element {
  let i = row * params.elements + column;
  let words = source[i];
  if (BFLOAT) {
    let low = bitcast<vec2<f32>>(words << vec2<u32>(16u));
    let high = bitcast<vec2<f32>>(words & vec2<u32>(0xffff0000u));
    return vec4<f32>(low.x, high.x, low.y, high.y);
  }
  return vec4<f32>(unpack2x16float(words.x), unpack2x16float(words.y));
}
