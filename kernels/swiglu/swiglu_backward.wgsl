// y = gate · s · up with s = sigmoid(gate): dgate = dy · up · s · (1 + gate · (1 − s)), dup = dy · gate · s. Assigns both.
struct Params {
  count: u32, // elements of dy
  elements: u32, // of a row of dy
}
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> dy: array<Element>; // (rows, elements)

fn each(i: u32) {
  let pair = load(i);
  let s = sigmoid(pair.gate);
  let dgate = dy[i] * pair.up * s * (Element(1.0) + pair.gate * (Element(1.0) - s));
  store(i, GateUp(dgate, dy[i] * pair.gate * s));
}
