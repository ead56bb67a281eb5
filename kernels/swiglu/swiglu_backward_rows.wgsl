// Rows of the gradients of gate and up, side by side, for a product. Joined with `element/element_vec4.wgsl` and `silu.wgsl`.
@group(0) @binding(8) var<storage, read> gate_up: array<vec4<f32>>; // (rows, quads)
@group(0) @binding(9) var<storage, read> dy: array<vec4<f32>>; // (rows, quads / 2)

fn compute(row: u32, quad: u32) -> array<vec4<f32>, 2> {
  let at = row * params.quads + quad;
  let gradients = swiglu_gradients(gate_up[at], gate_up[at + params.quads / 2u], dy[row * (params.quads / 2u) + quad]);
  return array<vec4<f32>, 2>(gradients[0], gradients[1]);
}
