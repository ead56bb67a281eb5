// Centred keys as they are.
@group(0) @binding(4) var<storage, read_write> centred: array<vec4<f32>>; // (keys, kvHeads · headDim)

fn put(row: u32, head: u32, quad: u32, value: vec4<f32>) {
  centred[(row * params.kv_heads + head) * QUADS + quad] = value;
}
