enable f16;
// Keys and values as f16: an invocation takes eight numbers of a key and of its value.
struct Params {
  keys: u32,
  kv_heads: u32,
  k_offset: u32, // of the first row, and from row to row, in vectors of four
  k_stride: u32,
  v_offset: u32,
  v_stride: u32,
}
@group(0) @binding(0) var<storage, read> k: array<vec4<f32>>; // (keys, kvHeads · headDim)
@group(0) @binding(1) var<storage, read> v: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read_write> k_half: array<vec4<f16>>; // (kvHeads, keys, QUADS)
@group(0) @binding(3) var<storage, read_write> v_half: array<vec4<f16>>;
@group(0) @binding(4) var<uniform> params: Params;
const WORKGROUP: u32 = 64u;
const VECTORS: u32 = 32u; // of a head
const QUADS: u32 = 32u; // the same, filled up
const LARGEST = vec4<f32>(65504.0);

@compute @workgroup_size(WORKGROUP)
fn main(
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(num_workgroups) groups: vec3<u32>,
  @builtin(local_invocation_index) local: u32,
) {
  let i = (group.y * groups.x + group.x) * WORKGROUP + local;
  let row = i / (QUADS / 2u);
  if (row >= params.kv_heads * params.keys) { return; }
  let head = row / params.keys;
  let key = row % params.keys;
  for (var n = 0u; n < 2u; n++) {
    let quad = 2u * (i % (QUADS / 2u)) + n;
    var of_k = vec4<f32>();
    var of_v = vec4<f32>();
    if (quad < VECTORS) {
      of_k = k[params.k_offset + key * params.k_stride + head * VECTORS + quad];
      of_v = v[params.v_offset + key * params.v_stride + head * VECTORS + quad];
    }
    k_half[row * QUADS + quad] = vec4<f16>(clamp(of_k, -LARGEST, LARGEST));
    v_half[row * QUADS + quad] = vec4<f16>(clamp(of_v, -LARGEST, LARGEST));
  }
}
