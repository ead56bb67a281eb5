// Rows of silu(gate) · up for a product. Joined with `element/element_vec4.wgsl` and `silu.wgsl`.
@group(0) @binding(8) var<storage, read> gate_up: array<vec4<f32>>; // (rows, 2 · quads)

fn compute(row: u32, quad: u32) -> array<vec4<f32>, 1> {
  let at = 2u * row * params.quads + quad;
  return array<vec4<f32>, 1>(swiglu(gate_up[at], gate_up[at + params.quads]));
}
