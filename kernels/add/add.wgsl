// y = a + b. Assigns y (which may hold a: see the text joined to this one).
struct Params {
  count: u32, // elements
}
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> b: array<Element>;
@group(0) @binding(2) var<storage, read_write> y: array<Element>;

fn each(i: u32) {
  y[i] = load(i) + b[i];
}
