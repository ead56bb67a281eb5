// Rows that lie in memory, as a product's activations are computed from them.
@group(0) @binding(0) var<storage, read> x: array<vec4<f32>>; // (rows, quads)

fn compute(row: u32, quad: u32) -> array<vec4<f32>, 1> {
  return array<vec4<f32>, 1>(x[row * params.quads + quad]);
}
