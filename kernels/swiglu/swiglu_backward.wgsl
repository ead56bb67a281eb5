// y = gate · s · up with s = sigmoid(gate): dgate = dy · up · s · (1 + gate · (1 − s)), dup = dy · gate · s. Assigns both, side by side as gate and up are.
struct Params {
  count: u32, // elements of dy
  elements: u32, // of a row of dy
}
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> dy: array<Element>; // (rows, elements)
@group(0) @binding(3) var<storage, read_write> dgate_up: array<Element>; // (rows, 2 · elements)

fn each(i: u32) {
  let pair = load(i);
  let s = sigmoid(pair.gate);
  dgate_up[place(i)] = dy[i] * pair.up * s * (Element(1.0) + pair.gate * (Element(1.0) - s));
  dgate_up[place(i) + params.elements] = dy[i] * pair.gate * s;
}
