// dx (rows, columns) = scale · p · (dp − Σ p · dp); a workgroup to a row. Assigns.
struct Params { columns: u32, scale: f32 }
@group(0) @binding(0) var<storage, read> p: array<f32>;
@group(0) @binding(1) var<storage, read> dp: array<f32>;
@group(0) @binding(2) var<storage, read_write> dx: array<f32>;
@group(0) @binding(3) var<uniform> params: Params;
var<workgroup> shared_parts: array<f32, 64>;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
  let start = group.x * params.columns;
  let end = start + params.columns;
  var sum = 0.0;
  for (var i = start + thread; i < end; i += 64u) { sum = fma(p[i], dp[i], sum); }
  shared_parts[thread] = sum;
  workgroupBarrier();
  var total = 0.0;
  for (var i = 0u; i < 64u; i++) { total += shared_parts[i]; }
  for (var i = start + thread; i < end; i += 64u) { dx[i] = params.scale * p[i] * (dp[i] - total); }
}
