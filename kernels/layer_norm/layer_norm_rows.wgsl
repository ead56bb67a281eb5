// Rows of (x − mean(x)) / sqrt(variance(x) + EPS) · weight + bias for a product. EPS stands in front.
@group(0) @binding(4) var<storage, read> x: array<vec4<f32>>; // (rows, quads)
@group(0) @binding(5) var<storage, read> weight: array<vec4<f32>>; // (quads)
@group(0) @binding(6) var<storage, read> bias: array<vec4<f32>>; // (quads)

fn compute(row: u32, quad: u32) -> array<vec4<f32>, 1> {
  return array<vec4<f32>, 1>(x[row * params.quads + quad]);
}

fn finish(value: vec4<f32>, quad: u32, mean: f32, variance: f32) -> vec4<f32> {
  return (value - mean) * (1.0 / sqrt(variance + EPS)) * weight[quad] + bias[quad];
}
