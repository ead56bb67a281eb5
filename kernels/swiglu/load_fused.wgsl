// A row holds all of gate, then all of up.
@group(0) @binding(2) var<storage, read> gate_up: array<Element>; // (rows, 2 · elements)

fn load(i: u32) -> GateUp {
  let j = i + (i / params.elements) * params.elements;
  return GateUp(gate_up[j], gate_up[j + params.elements]);
}
