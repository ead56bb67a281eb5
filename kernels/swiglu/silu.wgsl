// silu(gate) · up and its gradients, silu(x) = x · sigmoid(x).
fn sigmoid(v: Element) -> Element {
  return Element(1.0) / (Element(1.0) + exp(-clamp(v, Element(-87.0), Element(87.0))));
}

fn swiglu(gate: Element, up: Element) -> Element {
  return gate * sigmoid(gate) * up;
}

// With s = sigmoid(gate): dgate = dy · up · s · (1 + gate · (1 − s)), dup = dy · gate · s.
fn swiglu_gradients(gate: Element, up: Element, dy: Element) -> array<Element, 2> {
  let s = sigmoid(gate);
  return array<Element, 2>(dy * up * s * (Element(1.0) + gate * (Element(1.0) - s)), dy * gate * s);
}
