// Rows of x / sqrt(mean(x²) + EPS) · weight for a product. Behind `linear/stored_rows.wgsl` and EPS.
@group(0) @binding(4) var<storage, read> weight: array<vec4<f32>>; // (quads)

fn finish(value: vec4<f32>, quad: u32, _mean: f32, squares: f32) -> vec4<f32> {
  return value * (1.0 / sqrt(squares + EPS)) * weight[quad];
}
