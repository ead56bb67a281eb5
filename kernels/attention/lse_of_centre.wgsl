// lse of scores with other keys: assigns shifted = lse + factor · q · centre, where a row sees keys. Followed by `element/flat.wgsl`.
struct Params {
  count: u32, // rows · heads
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
const VECTORS: u32 = 1u; // vec4s of a head

fn each(i: u32) {
  let row = i / params.heads;
  let head = i % params.heads;
  let of_q = params.q_offset + row * params.q_stride + head * VECTORS;
  let of_centre = head / (params.heads / params.kv_heads) * VECTORS;
  var sum = vec4<f32>();
  for (var n = 0u; n < VECTORS; n++) { sum = fma(q[of_q + n], centre[of_centre + n], sum); }
  let seen = ranges[row].y > ranges[row].x;
  shifted[i] = lse[i] + select(0.0, params.factor * ((sum.x + sum.y) + (sum.z + sum.w)), seen);
}
