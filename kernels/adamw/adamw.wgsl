// One AdamW update, in place, four numbers at a time (what stands behind the last one, inside its vec4, is padding).
// hyper: rate, beta1, beta2, eps, rate · decay, 1 - beta1^t, sqrt(1 - beta2^t), 1 - beta2.
struct Params { vectors: u32, stride: u32 }
@group(0) @binding(0) var<storage, read_write> parameter: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read> gradient: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read_write> m: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read_write> v: array<vec4<f32>>;
@group(0) @binding(4) var<storage, read> hyper: array<vec4<f32>>;
@group(0) @binding(5) var<storage, read> norm: array<f32>;
@group(0) @binding(6) var<uniform> params: Params;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
  let rates = hyper[0];
  let corrections = hyper[1];
  let scale = norm[1];
  for (var i = id.x; i < params.vectors; i += params.stride) {
    let g = gradient[i] * scale;
    let before = m[i];
    let first = before + (g - before) * (1.0 - rates.y);
    let second = v[i] * rates.z + g * g * corrections.w;
    m[i] = first;
    v[i] = second;
    let p = parameter[i];
    parameter[i] = (p - p * corrections.x) - (rates.x / corrections.y) * first / (sqrt(second) / corrections.z + rates.w);
  }
}
