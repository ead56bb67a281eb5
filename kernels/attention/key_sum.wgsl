// Adds up the gradients of keys and values of the query heads that share a key/value head. Assigns dkv.
// An invocation owns one vec4 of dk (z = 0) or dv (z = 1); its number is folded into x and y.
const WORKGROUP: u32 = 64u;
const GROUP: u32 = 1u; // query heads to a key/value head
const VECTORS: u32 = 1u; // vec4s of a head

struct Params {
  keys: u32,
  kv_heads: u32,
  part_v_offset: u32, // where dv begins in parts, in vec4s
  dk_offset: u32, // of the first row, in vec4s
  dv_offset: u32,
  dkv_stride: u32, // from row to row, in vec4s
}
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> parts: array<vec4<f32>>; // (keys, heads · headDim) of dk, then of dv
@group(0) @binding(2) var<storage, read_write> dkv: array<vec4<f32>>;

@compute @workgroup_size(WORKGROUP)
fn main(
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(num_workgroups) groups: vec3<u32>,
  @builtin(local_invocation_index) local: u32,
) {
  let number = (group.y * groups.x + group.x) * WORKGROUP + local;
  let width = params.kv_heads * VECTORS;
  let key = number / width;
  let kv_head = (number % width) / VECTORS;
  let part = number % VECTORS;
  if (key >= params.keys) {
    return;
  }
  var at = (key * params.kv_heads + kv_head) * GROUP * VECTORS + part + select(0u, params.part_v_offset, group.z == 1u);
  var sum = vec4<f32>(0.0);
  for (var i = 0u; i < GROUP; i++) {
    sum += parts[at];
    at += VECTORS;
  }
  dkv[select(params.dk_offset, params.dv_offset, group.z == 1u) + key * params.dkv_stride + kv_head * VECTORS + part] = sum;
}
