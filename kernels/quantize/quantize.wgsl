// Rows of floats (binding `w`, read by `weight`) as whole numbers with an f16 scale for every group of a row. An invocation for each word of
// scales, that is for two groups that follow each other; it has the words of their levels to itself.
const GROUP: u32 = 128u;
const BITS: u32 = 8u; // 8 or 4
const CANDIDATES: u32 = 1u; // scales that are tried
const FIRST_DIVISOR: f32 = 127.0; // what the group's largest number is divided by to get a scale
const DIVISOR_STEP: f32 = 0.5;
const PER_WORD: u32 = 32u / BITS;
const ZERO: f32 = f32(1u << (BITS - 1u)); // the level of 0, as it is kept
const NOT_A_NUMBER: u32 = 0x7e00u; // f16

struct Params {
  count: u32, // invocations
  first_word: u32, // of the scales
  first_group: u32, // groups of the target that are written: from here …
  end_group: u32, // … to before here
  source_row: u32, // row of the source that belongs to the target's first row written
  columns: u32, // of the source
}
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(2) var<storage, read_write> levels: array<u32>;
@group(0) @binding(3) var<storage, read_write> scales: array<u32>;

// A level between 0 and 2·ZERO - 1; int8 leaves out the lowest.
fn level_of(value: f32, inverse: f32) -> f32 {
  return clamp(round(value * inverse), select(-ZERO, 1.0 - ZERO, BITS == 8u), ZERO - 1.0);
}

fn as_f16(value: f32) -> f32 {
  return unpack2x16float(pack2x16float(vec2<f32>(value, 0.0))).x;
}

fn inverse_of(scale: f32) -> f32 {
  return select(1.0 / scale, 0.0, scale == 0.0);
}

// Writes a group's levels; its scale as f16 bits.
fn quantize(group: u32) -> u32 {
  let per_row = (params.columns + GROUP - 1u) / GROUP;
  let done = group - params.first_group;
  let part = (done % per_row) * GROUP;
  let start = (params.source_row + done / per_row) * params.columns + part;
  let count = min(GROUP, params.columns - part);
  var largest = 0.0;
  var finite = true;
  for (var i = 0u; i < count; i++) {
    let value = weight(start + i);
    largest = select(largest, value, abs(value) > abs(largest));
    finite = finite && (bitcast<u32>(value) & 0x7f800000u) != 0x7f800000u;
  }
  if (!finite) { return NOT_A_NUMBER; }
  // The lowest level has no positive counterpart, so it is given to the largest number whatever that one's sign.
  if (BITS == 4u) { largest = -largest; }
  var scale = as_f16(largest / FIRST_DIVISOR);
  var least = 0.0;
  for (var c = 0u; c < CANDIDATES && CANDIDATES > 1u; c++) {
    let candidate = as_f16(largest / (FIRST_DIVISOR + f32(c) * DIVISOR_STEP));
    let inverse = inverse_of(candidate);
    var error = 0.0;
    for (var i = 0u; i < count; i++) {
      let value = weight(start + i);
      let off = value - candidate * level_of(value, inverse);
      error += off * off;
    }
    if (c == 0u || error < least) {
      least = error;
      scale = candidate;
    }
  }
  let inverse = inverse_of(scale);
  for (var at = 0u; at < GROUP; at += PER_WORD) {
    var word = 0u;
    for (var i = 0u; i < PER_WORD; i++) {
      var level = 0.0;
      if (at + i < count) { level = level_of(weight(start + at + i), inverse); }
      word |= u32(level + ZERO) << (BITS * i);
    }
    levels[(group * GROUP + at) / PER_WORD] = word;
  }
  return pack2x16float(vec2<f32>(scale, 0.0)) & 0xffffu;
}

fn each(i: u32) {
  let word = params.first_word + i;
  var pair = scales[word];
  for (var half = 0u; half < 2u; half++) {
    let group = 2u * word + half;
    if (group >= params.first_group && group < params.end_group) {
      pair = (pair & (0xffff0000u >> (16u * half))) | (quantize(group) << (16u * half));
    }
  }
  scales[word] = pair;
}
