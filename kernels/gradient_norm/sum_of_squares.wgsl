// sums[first + group] = sum of the squares of a workgroup's share of the vec4s of a gradient of `size` numbers.
struct Params { size: u32, first: u32 }
@group(0) @binding(0) var<storage, read> gradient: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read_write> sums: array<f32>;
@group(0) @binding(2) var<uniform> params: Params;
const WORKGROUP: u32 = 64u;
var<workgroup> parts: array<f32, WORKGROUP>;

@compute @workgroup_size(WORKGROUP)
fn main(
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(num_workgroups) groups: vec3<u32>,
  @builtin(local_invocation_index) thread: u32,
) {
  // Four sums a lane: shorter sums round less.
  var sum = vec4<f32>(0.0);
  let lane = group.x * WORKGROUP + thread;
  let whole = params.size / 4u;
  for (var i = lane; i < whole; i += groups.x * WORKGROUP) { sum = fma(gradient[i], gradient[i], sum); }
  if (lane == 0u && whole * 4u < params.size) {
    let rest = vec4<u32>(whole * 4u) + vec4<u32>(0u, 1u, 2u, 3u);
    let last = select(vec4<f32>(0.0), gradient[whole], rest < vec4<u32>(params.size));
    sum = fma(last, last, sum);
  }
  parts[thread] = (sum.x + sum.y) + (sum.z + sum.w);
  for (var half = WORKGROUP / 2u; half > 0u; half /= 2u) {
    workgroupBarrier();
    if (thread < half) { parts[thread] += parts[thread + half]; }
  }
  if (thread == 0u) { sums[params.first + group.x] = parts[0]; }
}
