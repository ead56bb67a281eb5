// out (rows): first column of the largest value among the parts' columns.
struct Params { rows: u32, width: u32, count: u32 }
@group(0) @binding(0) var<storage, read> logits: array<u32>;
@group(0) @binding(1) var<storage, read> parts: array<u32>;
@group(0) @binding(2) var<storage, read_write> out: array<u32>;
@group(0) @binding(3) var<uniform> params: Params;

// As in arg_max_parts.wgsl.
fn order(bits: u32) -> u32 {
  if ((bits & 0x7fffffffu) > 0x7f800000u) { return 0xffffffffu; }
  if (bits == 0x80000000u) { return 0x80000000u; }
  return select(bits | 0x80000000u, ~bits, (bits & 0x80000000u) != 0u);
}

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
  if (id.x >= params.rows) { return; }
  let start = id.x * params.count;
  var best = parts[start];
  var largest = order(logits[id.x * params.width + best]);
  for (var i = 1u; i < params.count; i++) {
    let column = parts[start + i];
    let value = order(logits[id.x * params.width + column]);
    if (value > largest) {
      largest = value;
      best = column;
    }
  }
  out[id.x] = best;
}
