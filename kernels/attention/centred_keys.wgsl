// Keys less their centre, the mean of some of those that are seen: assigns centre, and what `put` does. A workgroup owns some keys of a head, of which
// x is the number, and finds the centre by itself. Followed by `centred_keys_f32.wgsl` or `centred_keys_f16.wgsl`.
const WORKGROUP: u32 = 256u;
const VECTORS: u32 = 1u; // vec4s of a head
const QUADS: u32 = 1u; // the same, filled up
const PARTS: u32 = 1u; // invocations that share a vector's sum
const KEYS: u32 = 64u; // of a workgroup
const SAMPLE: u32 = 64u; // keys that the centre is the mean of
const EXPONENT: u32 = 0x7f800000u; // bits that are all set where a number is not finite

struct Params {
  rows: u32,
  keys: u32,
  kv_heads: u32,
  k_offset: u32, // of the first row, and from row to row, in vec4s
  k_stride: u32,
  v_offset: u32,
  v_stride: u32,
}
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> ranges: array<vec2<u32>>; // (rows): first key, and one after the last
@group(0) @binding(2) var<storage, read> k: array<vec4<f32>>; // (keys, kvHeads · headDim)
@group(0) @binding(3) var<storage, read_write> centre: array<vec4<f32>>; // (kvHeads, headDim)
var<workgroup> sums: array<vec4<f32>, WORKGROUP>;
var<workgroup> counts: array<f32, WORKGROUP>;

fn key(row: u32, head: u32, quad: u32) -> vec4<f32> {
  return k[params.k_offset + row * params.k_stride + head * VECTORS + quad];
}

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) local: u32) {
  let head = group.y;
  if (local < VECTORS * PARTS) {
    var sum = vec4<f32>();
    var count = 0.0;
    for (var i = local / VECTORS; i < SAMPLE; i += PARTS) {
      let row = (2u * i + 1u) * params.rows / (2u * SAMPLE);
      let start = ranges[row].x;
      let end = min(ranges[row].y, params.keys);
      if (end > start) { // a key that the row sees, another one than its neighbours' rows have
        let value = key(start + row % (end - start), head, local % VECTORS);
        if (all((bitcast<vec4<u32>>(value) & vec4<u32>(EXPONENT)) != vec4<u32>(EXPONENT))) { // what is not finite is one sequence's alone
          sum += value;
          count += 1.0;
        }
      }
    }
    sums[local] = sum;
    counts[local] = count;
  }
  workgroupBarrier();
  if (local < VECTORS) {
    var sum = sums[local];
    var count = counts[local];
    for (var part = 1u; part < PARTS; part++) {
      sum += sums[local + part * VECTORS];
      count += counts[local + part * VECTORS];
    }
    let mean = sum / max(count, 1.0);
    sums[local] = mean;
    if (group.x == 0u) { centre[head * VECTORS + local] = mean; }
  }
  workgroupBarrier();
  for (var i = local; i < KEYS * QUADS; i += WORKGROUP) {
    let row = group.x * KEYS + i / QUADS;
    let quad = i % QUADS;
    if (row < params.keys) {
      var value = vec4<f32>();
      if (quad < VECTORS) { value = key(row, head, quad) - sums[quad]; }
      put(row, head, quad, value);
    }
  }
}
