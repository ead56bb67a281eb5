// Tensors are read four numbers at a time.
alias Element = vec4<f32>;

fn total(v: Element) -> f32 {
  return (v.x + v.y) + (v.z + v.w);
}
