// Gradients of silu(gate) · up. Assigns both, side by side as gate and up are.
struct Params {
  count: u32, // elements of dy
  elements: u32, // of a row of dy
}
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> dy: array<Element>; // (rows, elements)
@group(0) @binding(3) var<storage, read_write> dgate_up: array<Element>; // (rows, 2 · elements)

fn each(i: u32) {
  let gradients = swiglu_gradients(gate_up[place(i)], gate_up[place(i) + params.elements], dy[i]);
  dgate_up[place(i)] = gradients[0];
  dgate_up[place(i) + params.elements] = gradients[1];
}
