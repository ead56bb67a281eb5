// norm (2) = root of all sums, and the factor min(1, max_norm / (norm + 1e-6)); factor 1 when max_norm is 0. One workgroup.
struct Params { count: u32, max_norm: f32 }
@group(0) @binding(0) var<storage, read> sums: array<f32>;
@group(0) @binding(1) var<storage, read_write> norm: array<f32>;
@group(0) @binding(2) var<uniform> params: Params;
var<workgroup> shared_sums: array<f32, 64>;

@compute @workgroup_size(64)
fn main(@builtin(local_invocation_index) thread: u32) {
  var sum = 0.0;
  for (var i = thread; i < params.count; i += 64u) { sum += sums[i]; }
  shared_sums[thread] = sum;
  workgroupBarrier();
  if (thread != 0u) { return; }
  var total = 0.0;
  for (var i = 0u; i < 64u; i++) { total += shared_sums[i]; }
  let root = sqrt(total);
  norm[0] = root;
  norm[1] = select(min(1.0, params.max_norm / (root + 1e-6)), 1.0, params.max_norm == 0.0);
}
