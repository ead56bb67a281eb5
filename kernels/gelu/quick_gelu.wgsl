// x · sigmoid(1.702 x)
fn activation(x: Element) -> Element {
  return x / (Element(1.0) + exp(clamp(x * -1.702, Element(-87.0), Element(87.0))));
}
