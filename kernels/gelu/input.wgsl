// The input is in other memory than y.
@group(0) @binding(2) var<storage, read> x: array<Element>;

fn load(i: u32) -> Element {
  return x[i];
}
