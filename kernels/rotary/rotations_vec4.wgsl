// Cosines and sines of four pairs.
struct Rotations {
  cosine: vec4<f32>,
  sine: vec4<f32>,
}

fn rotations(row: u32, pair: u32) -> Rotations {
  let a = rotation(row, pair);
  let b = rotation(row, pair + 1u);
  let c = rotation(row, pair + 2u);
  let d = rotation(row, pair + 3u);
  return Rotations(vec4<f32>(a.x, b.x, c.x, d.x), vec4<f32>(a.y, b.y, c.y, d.y) * params.sign);
}
