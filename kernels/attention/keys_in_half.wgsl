enable f16;
// Keys and values as f16: eight numbers of a key and of its value. Followed by `element/flat.wgsl`.
struct Params {
  count: u32, // eights
  keys: u32,
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
const VECTORS: u32 = 32u; // of a head
const QUADS: u32 = 32u; // the same, filled up
const LARGEST = vec4<f32>(65504.0);

fn each(i: u32) {
  let row = i / (QUADS / 2u);
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
