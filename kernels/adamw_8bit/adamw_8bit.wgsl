// One AdamW update with moments of 8 bits in blocks of 256 numbers (64 words of four codes), in place.
// hyper as in adamw.wgsl. LANES invocations share a block; the largest moments are exact, so any number of lanes gives the same.
const WORKGROUP: u32 = 64u;
const LANES: u32 = 64u;
const SIGNED: u32 = 0u;
const UNSIGNED: u32 = 1u;
struct Params { size: u32, words: u32, blocks: u32 }
@group(0) @binding(0) var<storage, read_write> parameter: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read> gradient: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read_write> mCodes: array<u32>;
@group(0) @binding(3) var<storage, read_write> vCodes: array<u32>;
@group(0) @binding(4) var<storage, read_write> mScale: array<f32>;
@group(0) @binding(5) var<storage, read_write> vScale: array<f32>;
@group(0) @binding(6) var<storage, read> signedMap: array<f32>;
@group(0) @binding(7) var<storage, read> unsignedMap: array<f32>;
@group(0) @binding(8) var<storage, read> hyper: array<f32>;
@group(0) @binding(9) var<storage, read> norm: array<f32>;
@group(0) @binding(10) var<uniform> params: Params;

var<workgroup> peaks: array<vec2<f32>, WORKGROUP>;

struct Moments { first: vec4<f32>, second: vec4<f32> }

fn entry(code: u32, table: u32) -> f32 {
  if (table == SIGNED) { return signedMap[code]; }
  return unsignedMap[code];
}

fn values(word: u32, table: u32) -> vec4<f32> {
  return vec4(
    entry(word & 255u, table), entry((word >> 8u) & 255u, table), entry((word >> 16u) & 255u, table), entry(word >> 24u, table),
  );
}

// The codes of the nearest entries; between two that are equally near, the lower one. Each decade of a table is cut into equal intervals with an entry
// in the middle, so that the interval of a number can be computed. What rounding makes of that, and the ends of the decades, is left to the entries
// themselves: the nearest one is that of the interval or one of its neighbours.
fn nearest(x: vec4<f32>, table: u32) -> vec4<u32> {
  let size = abs(x);
  var intervals = vec4(1.0); // of the number's decade, in the signed table
  var unit = vec4(1e6); // brings the decade to 0.1 to 1
  var decade: vec4<bool>;
  decade = size >= vec4(1e-6); intervals = select(intervals, vec4(2.0), decade); unit = select(unit, vec4(100000.0), decade);
  decade = size >= vec4(1e-5); intervals = select(intervals, vec4(4.0), decade); unit = select(unit, vec4(10000.0), decade);
  decade = size >= vec4(1e-4); intervals = select(intervals, vec4(8.0), decade); unit = select(unit, vec4(1000.0), decade);
  decade = size >= vec4(1e-3); intervals = select(intervals, vec4(16.0), decade); unit = select(unit, vec4(100.0), decade);
  decade = size >= vec4(1e-2); intervals = select(intervals, vec4(32.0), decade); unit = select(unit, vec4(10.0), decade);
  decade = size >= vec4(1e-1); intervals = select(intervals, vec4(64.0), decade); unit = select(unit, vec4(1.0), decade);
  var before = intervals - 1.0; // entries of smaller decades: 1 + 2 + 4 + …
  if (table == UNSIGNED) {
    intervals *= 2.0;
    before *= 2.0;
  }
  let interval = clamp(floor((size * unit - 0.1) * intervals / 0.9), vec4(0.0), intervals - 1.0);
  let rank = vec4<u32>(before + interval);
  let code = select(vec4(1u) + rank, select(vec4(126u) - rank, vec4(128u) + rank, x >= vec4(0.0)), table == SIGNED);
  return vec4(better(x.x, code.x, table), better(x.y, code.y, table), better(x.z, code.z, table), better(x.w, code.w, table));
}

// The nearest of the entries of a code and of its neighbours.
fn better(x: f32, code: u32, table: u32) -> u32 {
  let value = entry(code, table);
  let above = x > value;
  let other = select(max(code, 1u) - 1u, min(code + 1u, 255u), above);
  let distance = abs(entry(other, table) - x);
  let own = abs(value - x);
  return select(code, other, select(distance <= own, distance < own, above));
}

fn pack(x: vec4<f32>, table: u32) -> u32 {
  let codes = nearest(x, table);
  return codes.x | (codes.y << 8u) | (codes.z << 16u) | (codes.w << 24u);
}

// Whether each of a word's four numbers lies in the tensor.
fn inside(word: u32) -> vec4<bool> {
  return vec4(4u * word) + vec4(0u, 1u, 2u, 3u) < vec4(params.size);
}

// The new moments of four numbers, before they are quantised; 0 behind the end.
fn moments(word: u32, scale: vec2<f32>) -> Moments {
  let g = gradient[word] * norm[1];
  let m = values(mCodes[word], SIGNED) * scale.x;
  let v = values(vCodes[word], UNSIGNED) * scale.y;
  let first = m + (g - m) * (1.0 - hyper[1]);
  let second = v * hyper[2] + g * g * hyper[7];
  let kept = inside(word);
  return Moments(select(vec4(0.0), first, kept), select(vec4(0.0), second, kept));
}

fn largest(x: vec4<f32>) -> f32 {
  return max(max(x.x, x.y), max(x.z, x.w));
}

@compute @workgroup_size(WORKGROUP)
fn main(
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(num_workgroups) groups: vec3<u32>,
  @builtin(local_invocation_index) local: u32,
) {
  let lane = local % LANES;
  let chunk = (group.y * groups.x + group.x) * (WORKGROUP / LANES) + local / LANES;
  let begin = chunk * 64u + lane;
  let end = min(chunk * 64u + 64u, params.words);
  let there = min(chunk, params.blocks - 1u);
  let old = vec2(mScale[there], vScale[there]);
  var peak = vec2(0.0);
  let own = moments(min(begin, params.words - 1u), old); // all that 64 lanes have
  for (var word = begin; word < end; word += LANES) {
    var next = own;
    if (word != begin) { next = moments(word, old); }
    peak = max(peak, vec2(largest(abs(next.first)), largest(next.second)));
  }
  if (LANES > 1u) {
    peaks[local] = peak;
    for (var half = LANES / 2u; half > 0u; half >>= 1u) {
      workgroupBarrier();
      if (lane < half) { peaks[local] = max(peaks[local], peaks[local + half]); }
    }
    workgroupBarrier();
    storageBarrier();
    peak = peaks[local - lane];
  }
  // A block of zeros has scale 0: whatever divides it, its moments stay 0.
  let divisor = select(vec2(1.0), peak, peak > vec2(0.0));
  for (var word = begin; word < end; word += LANES) {
    var next = own;
    if (word != begin) { next = moments(word, old); }
    mCodes[word] = pack(next.first / divisor.x, SIGNED);
    vCodes[word] = pack(next.second / divisor.y, UNSIGNED);
    let before = parameter[word];
    let decayed = before - before * hyper[4];
    let after = decayed - (hyper[0] / hyper[5]) * next.first / (sqrt(next.second) / hyper[6] + hyper[3]);
    parameter[word] = select(before, after, inside(word));
  }
  if (lane == 0u && chunk < params.blocks) {
    mScale[chunk] = peak.x;
    vScale[chunk] = peak.y;
  }
}
