// p (rows, columns) = softmax(scale · x) along the rows; a workgroup to a row.
struct Params { columns: u32, scale: f32 }
@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read_write> p: array<f32>;
@group(0) @binding(2) var<uniform> params: Params;
var<workgroup> shared_parts: array<f32, 64>;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
  let start = group.x * params.columns;
  let end = start + params.columns;
  var largest = -3.4e38;
  for (var i = start + thread; i < end; i += 64u) { largest = max(largest, params.scale * x[i]); }
  shared_parts[thread] = largest;
  workgroupBarrier();
  for (var i = 0u; i < 64u; i++) { largest = max(largest, shared_parts[i]); }
  workgroupBarrier();
  var sum = 0.0;
  for (var i = start + thread; i < end; i += 64u) { sum += exp(params.scale * x[i] - largest); }
  shared_parts[thread] = sum;
  workgroupBarrier();
  var total = 0.0;
  for (var i = 0u; i < 64u; i++) { total += shared_parts[i]; }
  for (var i = start + thread; i < end; i += 64u) { p[i] = exp(params.scale * x[i] - largest) / total; }
}
