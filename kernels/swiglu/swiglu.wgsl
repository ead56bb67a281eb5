// y = silu(gate) · up. Assigns y.
struct Params {
  count: u32, // elements of the result
  elements: u32, // of a row of the result
}
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read_write> y: array<Element>; // (rows, elements)

fn each(i: u32) {
  y[i] = swiglu(gate_up[place(i)], gate_up[place(i) + params.elements]);
}
