// sums[first + lane] = sum of the squares of every `lanes`-th number of a gradient.
struct Params { size: u32, first: u32, lanes: u32 }
@group(0) @binding(0) var<storage, read> gradient: array<f32>;
@group(0) @binding(1) var<storage, read_write> sums: array<f32>;
@group(0) @binding(2) var<uniform> params: Params;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
  // Four sums a lane: shorter sums round less.
  var sum = vec4<f32>(0.0);
  var slot = 0u;
  for (var i = id.x; i < params.size; i += params.lanes) {
    let square = gradient[i] * gradient[i];
    sum += select(vec4<f32>(0.0), vec4<f32>(square), vec4<u32>(slot) == vec4<u32>(0u, 1u, 2u, 3u));
    slot = (slot + 1u) & 3u;
  }
  sums[params.first + id.x] = (sum.x + sum.y) + (sum.z + sum.w);
}
