// Gate and up are two tensors.
@group(0) @binding(2) var<storage, read> gate: array<Element>; // (rows, elements)
@group(0) @binding(3) var<storage, read> up: array<Element>; // (rows, elements)

fn load(i: u32) -> GateUp {
  return GateUp(gate[i], up[i]);
}
