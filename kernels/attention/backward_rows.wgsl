// What attention's backward pass on subgroup matrices needs of each row of a head: assigns of_rows and norms.
// An eighth of a workgroup owns a row of dy and y, or, behind them, of v; the workgroup's number is folded into x and y.
// Follows the parameters of attention and the gradient's bindings.
const WORKGROUP: u32 = 64u;
const PARTS: u32 = 8u; // invocations of a row
const VECTORS: u32 = 1u; // vec4s of a head

@group(0) @binding(3) var<storage, read> v: array<vec4<f32>>; // (keys, kvHeads · headDim)
@group(0) @binding(7) var<storage, read> y: array<vec4<f32>>; // (rows, heads · headDim)
@group(0) @binding(8) var<storage, read_write> of_rows: array<vec4<u32>>; // (rows, heads): range of keys, bits of lse in powers of two, bits of dy · y
@group(0) @binding(9) var<storage, read_write> norms: array<f32>; // of dy (rows, heads), of v (keys, kvHeads)
var<workgroup> parts: array<vec2<f32>, WORKGROUP>;

@compute @workgroup_size(WORKGROUP)
fn main(
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(num_workgroups) groups: vec3<u32>,
  @builtin(local_invocation_index) local: u32,
) {
  let number = (group.y * groups.x + group.x) * (WORKGROUP / PARTS) + local / PARTS;
  let rows = params.rows * params.heads;
  let all = rows + params.keys * params.kv_heads;
  var sums = vec2<f32>();
  for (var i = local % PARTS; i < VECTORS; i += PARTS) {
    if (number < rows) {
      let value = dy[number * VECTORS + i];
      sums += vec2<f32>(dot(value, y[number * VECTORS + i]), dot(value, value));
    } else if (number < all) {
      let key = (number - rows) / params.kv_heads;
      let value = v[params.v_offset + key * params.v_stride + (number - rows) % params.kv_heads * VECTORS + i];
      sums.y += dot(value, value);
    }
  }
  parts[local] = sums;
  workgroupBarrier();
  if (local % PARTS == 0u && number < all) {
    for (var i = 1u; i < PARTS; i++) { sums += parts[local + i]; }
    norms[number] = sqrt(sums.y);
    if (number < rows) {
      let seen = ranges[number / params.heads];
      of_rows[number] = vec4<u32>(seen, bitcast<u32>(lse[number] * LOG2E), bitcast<u32>(sums.x));
    }
  }
}
