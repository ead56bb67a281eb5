// Rows of x / sqrt(mean(x²) + EPS) · weight for a product. Behind `linear/stored_rows.wgsl` and EPS.
@group(0) @binding(8) var<storage, read> weight: array<vec4<f32>>; // (quads)

fn weighed(value: vec4<f32>, quad: u32) -> vec4<f32> {
  return value * weight[quad];
}

fn row_factor(squares: f32) -> f32 {
  return 1.0 / sqrt(squares + EPS);
}

fn finish(value: vec4<f32>, quad: u32, _mean: f32, squares: f32) -> vec4<f32> {
  return weighed(value, quad) * row_factor(squares);
}
