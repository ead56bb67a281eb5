@group(0) @binding(3) var<storage, read> source: array<Element>; // (rows, elements)

fn load(i: u32) -> Element {
  return source[i];
}
