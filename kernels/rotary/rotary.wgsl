// Rotary position embedding in the "rotate half" form: the numbers j and j + HALF of a head are one pair, turned by the angle of
// the row's position on the axis of frequency j. An invocation turns an Element of pairs in HEADS_EACH heads of a row.
// Assigns y (or turns it in place); only the rotated columns of a row are touched. Followed by `element/flat.wgsl`.
const HEADS_EACH: u32 = 1u;

struct Params {
  count: u32, // invocations
  head_parts: u32, // of HEADS_EACH heads each
  heads: u32,
  axes: u32, // columns of positions
  x_stride: u32, // from row to row, in elements
  y_stride: u32,
  sign: f32, // -1 turns back
}
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(4) var<storage, read_write> y: array<Element>;

fn each(n: u32) {
  let j = n % HALF;
  let part = (n / HALF) % params.head_parts;
  let row = n / (HALF * params.head_parts);
  let r = rotations(row, j * WIDTH);
  let x_row = row * params.x_stride;
  let y_row = row * params.y_stride;
  let last = min((part + 1u) * HEADS_EACH, params.heads);
  for (var head = part * HEADS_EACH; head < last; head++) {
    let i = head * 2u * HALF + j;
    let a = load(x_row + i);
    let b = load(x_row + i + HALF);
    y[y_row + i] = a * r.cosine - b * r.sine;
    y[y_row + i + HALF] = b * r.cosine + a * r.sine;
  }
}
