// The gradient is added to what dx holds.
fn base(i: u32) -> Element {
  return dx[i];
}
