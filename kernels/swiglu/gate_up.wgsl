// What the ways to store gate and up have in common.
struct GateUp {
  gate: Element,
  up: Element,
}

fn sigmoid(v: Element) -> Element {
  return Element(1.0) / (Element(1.0) + exp(-clamp(v, Element(-87.0), Element(87.0))));
}
