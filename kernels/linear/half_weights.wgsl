// Rounds bf16 numbers to f16 where they lie. An invocation takes one word, of two numbers, for each round of all of them.
const WORKGROUP: u32 = 256u;

struct Params {
  words: u32,
}
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read_write> w: array<u32>;

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
  for (var i = id.x; i < params.words; i += groups.x * WORKGROUP) {
    let two = w[i];
    w[i] = pack2x16float(vec2<f32>(bitcast<f32>(two << 16u), bitcast<f32>(two & 0xffff0000u)));
  }
}
