// What is normed is x + delta, which is kept.
@group(0) @binding(1) var<storage, read> x: array<Element>; // (rows, elements)
@group(0) @binding(2) var<storage, read> delta: array<Element>; // (rows, elements)
@group(0) @binding(3) var<storage, read_write> sum: array<Element>; // (rows, elements), assigned

fn take(i: u32) -> Element {
  let v = x[i] + delta[i];
  sum[i] = v;
  return v;
}

// The same invocation took (and wrote) this element before.
fn again(i: u32) -> Element {
  return sum[i];
}
