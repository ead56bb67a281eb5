// sums[s] = the sum of weights · values over [ranges[s].x, ranges[s].y), in their order: the same bits wherever a range lies. Assigns.
struct Params { count: u32, size: u32 }
@group(0) @binding(0) var<storage, read> values: array<f32>;
@group(0) @binding(1) var<storage, read> weights: array<f32>;
@group(0) @binding(2) var<storage, read> ranges: array<vec2<u32>>;
@group(0) @binding(3) var<storage, read_write> sums: array<f32>;
@group(0) @binding(4) var<uniform> params: Params;

@compute @workgroup_size(8)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
  if (id.x >= params.count) { return; }
  var sum = 0.0;
  for (var i = ranges[id.x].x; i < min(ranges[id.x].y, params.size); i++) { sum += weights[i] * values[i]; }
  sums[id.x] = sum;
}
