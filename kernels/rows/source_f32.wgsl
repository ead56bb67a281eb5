@group(0) @binding(3) var<storage, read> source: array<Element>; // (rows, elements)

fn load(row: u32, column: u32) -> Element {
  return source[row * params.elements + column];
}
