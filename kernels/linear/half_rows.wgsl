enable f16;
// Rows of f32 as f16, each times the power of two that brings its largest number to [2^PEAK, 2^(PEAK + 1)), and what undoes it. Filled up with zeros.
struct Params {
  rows: u32,
  quads: u32, // of a row of x, four numbers each
  padded: u32, // quads of a row of y
}
@group(0) @binding(0) var<storage, read> x: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read_write> y: array<vec4<f16>>;
@group(0) @binding(2) var<storage, read_write> row_scales: array<f32>;
@group(0) @binding(3) var<uniform> params: Params;
const WORKGROUP: u32 = 128u;
const PEAK: i32 = 14;
var<workgroup> peaks: array<f32, WORKGROUP>;

@compute @workgroup_size(WORKGROUP)
fn main(
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(num_workgroups) groups: vec3<u32>,
  @builtin(local_invocation_index) local: u32,
) {
  let row = group.y * groups.x + group.x;
  let there = min(row, params.rows - 1u);
  var peak = vec4<f32>(0.0);
  for (var quad = local; quad < params.quads; quad += WORKGROUP) { peak = max(peak, abs(x[there * params.quads + quad])); }
  peaks[local] = max(max(peak.x, peak.y), max(peak.z, peak.w));
  for (var half = WORKGROUP / 2u; half > 0u; half /= 2u) {
    workgroupBarrier();
    if (local < half) { peaks[local] = max(peaks[local], peaks[local + half]); }
  }
  workgroupBarrier();
  if (row >= params.rows) { return; }
  // exponents as they stand in a float, 127 too large; both factors stay normal numbers
  let exponent = i32(bitcast<u32>(peaks[0]) >> 23u);
  let up = u32(clamp(254 + PEAK - exponent, 1, 253));
  let scale = bitcast<f32>(up << 23u);
  for (var quad = local; quad < params.padded; quad += WORKGROUP) {
    var value = vec4<f32>(0.0);
    if (quad < params.quads) { value = x[row * params.quads + quad] * scale; }
    y[row * params.padded + quad] = vec4<f16>(value);
  }
  if (local == 0u) { row_scales[row] = bitcast<f32>((254u - up) << 23u); }
}
