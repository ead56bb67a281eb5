// Rows of floats (`value`: one, or four in a row, as an Element) as whole numbers with an f16 scale for every group of a row. An invocation for
// each word of scales, that is for two groups that follow each other; it has the words of their levels to itself.
const GROUP: u32 = 128u; // numbers
const WIDTH: u32 = 4u; // numbers of an Element
const BITS: u32 = 8u; // 8 or 4
const CANDIDATES: u32 = 1u; // scales that are tried
const FIRST_DIVISOR: f32 = 127.0; // what the group's largest number is divided by to get a scale
const DIVISOR_STEP: f32 = 0.5;
const PER_WORD: u32 = 32u / BITS;
const HIGHEST: f32 = f32((1u << (BITS - 1u)) - 1u);
const LOWEST: f32 = select(-HIGHEST - 1.0, -HIGHEST, BITS == 8u); // int8 leaves out the last one
const ZERO: f32 = HIGHEST + 1.0; // the level of 0, as it is kept
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

fn level_of(v: Element, inverse: f32) -> Element {
  return clamp(round(v * inverse), Element(LOWEST), Element(HIGHEST));
}

// Rounds to f16. Drivers take a number that is packed and unpacked again for the number itself, so a 0 that they do not know comes between.
fn as_f16(scale: f32) -> f32 {
  return unpack2x16float(pack2x16float(vec2<f32>(scale, 0.0)) | (params.columns >> 31u)).x;
}

fn inverse_of(scale: f32) -> f32 {
  return select(1.0 / scale, 0.0, scale == 0.0);
}

// Writes a group's levels; its scale as f16 bits.
fn quantize(group: u32) -> u32 {
  let per_row = (params.columns + GROUP - 1u) / GROUP;
  let done = group - params.first_group;
  let part = (done % per_row) * GROUP;
  let start = ((params.source_row + done / per_row) * params.columns + part) / WIDTH;
  let count = min(GROUP, params.columns - part) / WIDTH;
  var most = Element();
  var finite = true;
  for (var i = 0u; i < count; i++) {
    let v = value(start + i);
    most = select(most, v, abs(v) > abs(most));
    finite = finite && is_finite(v);
  }
  if (!finite) { return NOT_A_NUMBER; }
  // Where the lowest level has no positive counterpart, it is given to the largest number whatever that one's sign.
  let largest = select(largest_of(most), -largest_of(most), BITS == 4u);
  var scale = as_f16(largest / FIRST_DIVISOR);
  var least = 0.0;
  for (var c = 0u; c < CANDIDATES && CANDIDATES > 1u; c++) {
    let candidate = as_f16(largest / (FIRST_DIVISOR + f32(c) * DIVISOR_STEP));
    let inverse = inverse_of(candidate);
    var errors = Element();
    for (var i = 0u; i < count; i++) {
      let v = value(start + i);
      let off = v - candidate * level_of(v, inverse);
      errors += off * off;
    }
    let error = total(errors);
    if (c == 0u || error < least) {
      least = error;
      scale = candidate;
    }
  }
  let inverse = inverse_of(scale);
  for (var word = 0u; word < GROUP / PER_WORD; word++) {
    var bits = 0u;
    for (var i = 0u; i < PER_WORD / WIDTH; i++) {
      let at = word * PER_WORD / WIDTH + i;
      var level = Element();
      if (at < count) { level = level_of(value(start + at), inverse); }
      bits |= packed(level + Element(ZERO)) << (BITS * WIDTH * i);
    }
    levels[group * (GROUP / PER_WORD) + word] = bits;
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
