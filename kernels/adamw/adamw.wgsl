// One AdamW update, in place. hyper: rate, beta1, beta2, eps, rate · decay, 1 - beta1^t, sqrt(1 - beta2^t), 1 - beta2.
struct Params { size: u32, stride: u32 }
@group(0) @binding(0) var<storage, read_write> parameter: array<f32>;
@group(0) @binding(1) var<storage, read> gradient: array<f32>;
@group(0) @binding(2) var<storage, read_write> m: array<f32>;
@group(0) @binding(3) var<storage, read_write> v: array<f32>;
@group(0) @binding(4) var<storage, read> hyper: array<f32>;
@group(0) @binding(5) var<storage, read> norm: array<f32>;
@group(0) @binding(6) var<uniform> params: Params;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
  for (var i = id.x; i < params.size; i += params.stride) {
    let g = gradient[i] * norm[1];
    let first = m[i] + (g - m[i]) * (1.0 - hyper[1]);
    let second = v[i] * hyper[2] + g * g * hyper[7];
    m[i] = first;
    v[i] = second;
    let decayed = parameter[i] - parameter[i] * hyper[4];
    parameter[i] = decayed - (hyper[0] / hyper[5]) * first / (sqrt(second) / hyper[6] + hyper[3]);
  }
}
