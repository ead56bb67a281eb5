// y = activation(x), element by element. Assigns y (or changes it in place: see the text joined to this one).
struct Params {
  count: u32, // elements
}
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read_write> y: array<Element>;

fn each(i: u32) {
  y[i] = activation(load(i));
}
