// Cosine and sine of one pair.
struct Rotations {
  cosine: f32,
  sine: f32,
}

fn rotations(row: u32, pair: u32) -> Rotations {
  let a = rotation(row, pair);
  return Rotations(a.x, a.y * params.sign);
}
