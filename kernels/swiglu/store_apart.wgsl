// The gradients of gate and up are two tensors.
@group(0) @binding(4) var<storage, read_write> dgate: array<Element>; // (rows, elements)
@group(0) @binding(5) var<storage, read_write> dup: array<Element>; // (rows, elements)

fn store(i: u32, gradient: GateUp) {
  dgate[i] = gradient.gate;
  dup[i] = gradient.up;
}
