// Rows of (x − mean(x)) / sqrt(variance(x) + EPS) · weight + bias for a product. Behind `linear/stored_rows.wgsl` and EPS.
@group(0) @binding(8) var<storage, read> weight: array<vec4<f32>>; // (quads)
@group(0) @binding(9) var<storage, read> bias: array<vec4<f32>>; // (quads)

fn finish(value: vec4<f32>, quad: u32, mean: f32, variance: f32) -> vec4<f32> {
  return (value - mean) * (1.0 / sqrt(variance + EPS)) * weight[quad] + bias[quad];
}
