// What is normed is x itself.
@group(0) @binding(1) var<storage, read> x: array<Element>; // (rows, elements)

fn take(i: u32) -> Element {
  return x[i];
}

fn again(i: u32) -> Element {
  return x[i];
}
