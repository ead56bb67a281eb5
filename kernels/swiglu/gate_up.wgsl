// Gate and up of an element of the result: a row holds all of gate, then all of up.
@group(0) @binding(2) var<storage, read> gate_up: array<Element>; // (rows, 2 · elements)

struct GateUp {
  gate: Element,
  up: Element,
}

// Where the gate of an element lies; its up lies params.elements further.
fn place(i: u32) -> u32 {
  return i + (i / params.elements) * params.elements;
}

fn load(i: u32) -> GateUp {
  return GateUp(gate_up[place(i)], gate_up[place(i) + params.elements]);
}

fn sigmoid(v: Element) -> Element {
  return Element(1.0) / (Element(1.0) + exp(-clamp(v, Element(-87.0), Element(87.0))));
}
