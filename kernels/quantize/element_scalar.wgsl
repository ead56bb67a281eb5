// What quantize.wgsl needs of an Element of one number.
fn largest_of(v: Element) -> f32 {
  return v;
}

fn is_finite(v: Element) -> bool {
  return (bitcast<u32>(v) & 0x7f800000u) != 0x7f800000u;
}

fn packed(levels: Element) -> u32 {
  return u32(levels);
}
