// The numbers to turn are those that y holds.
fn load(i: u32) -> Element {
  return y[i];
}
