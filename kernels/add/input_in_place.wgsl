// The first summand is what y holds.
fn load(i: u32) -> Element {
  return y[i];
}
