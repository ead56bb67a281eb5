// The gradient is added to that of the skip connection.
@group(0) @binding(5) var<storage, read> residual: array<Element>; // (rows, elements)

fn base(i: u32) -> Element {
  return residual[i];
}
