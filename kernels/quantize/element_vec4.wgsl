// What quantize.wgsl needs of an Element of four numbers.
fn largest_of(v: Element) -> f32 {
  let pair = select(v.xy, v.zw, abs(v.zw) > abs(v.xy));
  return select(pair.x, pair.y, abs(pair.y) > abs(pair.x));
}

fn is_finite(v: Element) -> bool {
  return all((bitcast<vec4<u32>>(v) & vec4<u32>(0x7f800000u)) != vec4<u32>(0x7f800000u));
}

fn packed(levels: Element) -> u32 {
  let shifted = vec4<u32>(levels) << vec4<u32>(0u, BITS, 2u * BITS, 3u * BITS);
  return shifted.x | shifted.y | shifted.z | shifted.w;
}
