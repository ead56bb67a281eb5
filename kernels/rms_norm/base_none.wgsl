// Nothing is added to the gradient.
fn base(i: u32) -> Element {
  return Element();
}
