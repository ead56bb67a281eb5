// A row holds all of gate's gradient, then all of up's.
@group(0) @binding(4) var<storage, read_write> dgate_up: array<Element>; // (rows, 2 · elements)

fn store(i: u32, gradient: GateUp) {
  let j = i + (i / params.elements) * params.elements;
  dgate_up[j] = gradient.gate;
  dgate_up[j + params.elements] = gradient.up;
}
