// parts (rows, count): first column of the largest value among `per` columns of a row; NaN is larger than every number.
struct Params { width: u32, columns: u32, per: u32, count: u32 }
@group(0) @binding(0) var<storage, read> logits: array<u32>;
@group(0) @binding(1) var<storage, read_write> parts: array<u32>;
@group(0) @binding(2) var<uniform> params: Params;

// The bits of a number so ordered that whole-number comparison is that of the numbers; all NaN on top.
fn order(bits: u32) -> u32 {
  if ((bits & 0x7fffffffu) > 0x7f800000u) { return 0xffffffffu; }
  if (bits == 0x80000000u) { return 0x80000000u; }
  return select(bits | 0x80000000u, ~bits, (bits & 0x80000000u) != 0u);
}

@compute @workgroup_size(8)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
  if (id.x >= params.count) { return; }
  let start = id.y * params.width;
  let first = id.x * params.per;
  let last = min(params.columns, first + params.per);
  var best = first;
  var largest = order(logits[start + first]);
  for (var column = first + 1u; column < last; column++) {
    let value = order(logits[start + column]);
    if (value > largest) {
      largest = value;
      best = column;
    }
  }
  parts[id.y * params.count + id.x] = best;
}
