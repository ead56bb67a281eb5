// Rows of x / sqrt(mean(x²) + EPS) · weight for a product. EPS stands in front.
@group(0) @binding(4) var<storage, read> x: array<vec4<f32>>; // (rows, quads)
@group(0) @binding(5) var<storage, read> weight: array<vec4<f32>>; // (quads)

fn compute(row: u32, quad: u32) -> array<vec4<f32>, 1> {
  return array<vec4<f32>, 1>(x[row * params.quads + quad]);
}

fn finish(value: vec4<f32>, quad: u32, _mean: f32, squares: f32) -> vec4<f32> {
  return value * (1.0 / sqrt(squares + EPS)) * weight[quad];
}
