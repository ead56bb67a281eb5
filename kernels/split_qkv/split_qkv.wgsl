// Rows of queries, keys and values side by side ↔ queries, and keys beside values in rows of their own; queries and keys are turned on the way (rotary
// position embedding, "rotate half"). An invocation takes an Element of pairs in HEADS_EACH heads of a row. Followed by `element/flat.wgsl`.
const HEADS_EACH: u32 = 1u;

struct Params {
  count: u32, // invocations
  head_parts: u32, // of HEADS_EACH heads each
  heads: u32,
  kv_heads: u32,
  axes: u32, // columns of positions
  kv_rows: u32, // rows that keys and values have
  sign: f32, // -1 turns back
}
@group(0) @binding(0) var<uniform> params: Params;

// Where the first element of a pair lies: in the joined row, and among queries, or among keys and values.
struct Place {
  joined: u32,
  apart: u32,
  is_query: bool,
}

fn place_of(row: u32, kv_row: u32, head: u32, j: u32) -> Place {
  let of_head = 2u * HALF;
  let kv_heads = 2u * params.kv_heads;
  let joined = (row * (params.heads + kv_heads) + head) * of_head + j;
  if (head < params.heads) {
    return Place(joined, (row * params.heads + head) * of_head + j, true);
  }
  return Place(joined, (kv_row * kv_heads + head - params.heads) * of_head + j, false);
}

fn each(n: u32) {
  let j = n % HALF;
  let part = (n / HALF) % params.head_parts;
  let row = n / (HALF * params.head_parts);
  let kv_row = kv_row_of(row);
  let r = rotations(row, j * WIDTH);
  let last = min((part + 1u) * HEADS_EACH, params.heads + 2u * params.kv_heads);
  for (var head = part * HEADS_EACH; head < last; head++) {
    let place = place_of(row, kv_row, head, j);
    let exists = place.is_query || kv_row < params.kv_rows;
    let a = load(place, 0u, exists);
    let b = load(place, HALF, exists);
    if (head < params.heads + params.kv_heads) {
      store(place, 0u, exists, a * r.cosine - b * r.sine);
      store(place, HALF, exists, b * r.cosine + a * r.sine);
    } else {
      store(place, 0u, exists, a);
      store(place, HALF, exists, b);
    }
  }
}
