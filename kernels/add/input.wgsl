// The first summand is in other memory than the sum.
@group(0) @binding(3) var<storage, read> a: array<Element>;

fn load(i: u32) -> Element {
  return a[i];
}
