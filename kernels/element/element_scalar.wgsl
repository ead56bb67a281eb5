// Tensors are read one number at a time.
alias Element = f32;

fn total(v: Element) -> f32 {
  return v;
}
