// The numbers to turn are in other memory than y.
@group(0) @binding(5) var<storage, read> x: array<Element>;

fn load(i: u32) -> Element {
  return x[i];
}
