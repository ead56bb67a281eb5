// sums[first + lane] = sum of the squares of every `lanes`-th vec4 of a gradient of `size` numbers.
struct Params { size: u32, first: u32, lanes: u32 }
@group(0) @binding(0) var<storage, read> gradient: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read_write> sums: array<f32>;
@group(0) @binding(2) var<uniform> params: Params;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
  // Four sums a lane: shorter sums round less.
  var sum = vec4<f32>(0.0);
  let whole = params.size / 4u;
  for (var i = id.x; i < whole; i += params.lanes) { sum = fma(gradient[i], gradient[i], sum); }
  if (id.x == 0u && whole * 4u < params.size) {
    let rest = vec4<u32>(whole * 4u) + vec4<u32>(0u, 1u, 2u, 3u);
    let last = select(vec4<f32>(0.0), gradient[whole], rest < vec4<u32>(params.size));
    sum = fma(last, last, sum);
  }
  sums[params.first + id.x] = (sum.x + sum.y) + (sum.z + sum.w);
}
