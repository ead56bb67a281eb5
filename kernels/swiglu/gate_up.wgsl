// Gate and up of an element of the result: a row holds all of gate, then all of up.
@group(0) @binding(2) var<storage, read> gate_up: array<Element>; // (rows, 2 · elements)

// Where the gate of an element lies; its up lies params.elements further.
fn place(i: u32) -> u32 {
  return i + (i / params.elements) * params.elements;
}
