// Centred keys, and values, rounded to f16, each as the nearest of its numbers where it is beyond them. In front of the kernel: `enable f16;`.
@group(0) @binding(4) var<storage, read> v: array<vec4<f32>>; // (keys, kvHeads · headDim)
@group(0) @binding(5) var<storage, read_write> k_half: array<vec4<f16>>; // (kvHeads, keys, QUADS)
@group(0) @binding(6) var<storage, read_write> v_half: array<vec4<f16>>;
const LARGEST = vec4<f32>(65504.0);

fn put(row: u32, head: u32, quad: u32, value: vec4<f32>) {
  var of_v = vec4<f32>();
  if (quad < VECTORS) { of_v = v[params.v_offset + row * params.v_stride + head * VECTORS + quad]; }
  let i = (head * params.keys + row) * QUADS + quad;
  k_half[i] = vec4<f16>(clamp(value, -LARGEST, LARGEST));
  v_half[i] = vec4<f16>(clamp(of_v, -LARGEST, LARGEST));
}
