// x · sigmoid(1.702 x)
fn activation(x: f32) -> f32 {
  return x / (1.0 + exp(clamp(x * -1.702, -87.0, 87.0)));
}
