// lse of scores with other keys: assigns shifted = lse + factor · q · centre, where a row sees keys. An eighth of a workgroup owns a row of a head; the
// workgroup's number is folded into x and y.
const WORKGROUP: u32 = 64u;
const PARTS: u32 = 8u; // invocations of a row
const VECTORS: u32 = 1u; // vec4s of a head

struct Params {
  rows: u32,
  heads: u32,
  kv_heads: u32,
  q_offset: u32, // of the first row, and from row to row, in vec4s
  q_stride: u32,
  factor: f32,
}
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> q: array<vec4<f32>>; // (rows, heads · headDim)
@group(0) @binding(2) var<storage, read> centre: array<vec4<f32>>; // (kvHeads, headDim)
@group(0) @binding(3) var<storage, read> ranges: array<vec2<u32>>; // (rows): first key, and one after the last
@group(0) @binding(4) var<storage, read> lse: array<f32>; // (rows, heads)
@group(0) @binding(5) var<storage, read_write> shifted: array<f32>; // the same
var<workgroup> parts: array<f32, WORKGROUP>;

@compute @workgroup_size(WORKGROUP)
fn main(
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(num_workgroups) groups: vec3<u32>,
  @builtin(local_invocation_index) local: u32,
) {
  let number = (group.y * groups.x + group.x) * (WORKGROUP / PARTS) + local / PARTS;
  let row = number / params.heads;
  let head = number % params.heads;
  let kv_head = head / (params.heads / params.kv_heads);
  var sum = 0.0;
  if (row < params.rows) {
    for (var i = local % PARTS; i < VECTORS; i += PARTS) {
      sum += dot(q[params.q_offset + row * params.q_stride + head * VECTORS + i], centre[kv_head * VECTORS + i]);
    }
  }
  parts[local] = sum;
  workgroupBarrier();
  if (local % PARTS == 0u && row < params.rows) {
    for (var i = 1u; i < PARTS; i++) { sum += parts[local + i]; }
    shifted[number] = lse[number] + select(0.0, params.factor * sum, ranges[row].y > ranges[row].x);
  }
}
