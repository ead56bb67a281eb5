// dbias (outputs) += sums of dy (rows, outputs) over its rows. Adds.
struct Params { rows: u32, outputs: u32 }
@group(0) @binding(0) var<storage, read> dy: array<f32>;
@group(0) @binding(1) var<storage, read_write> dbias: array<f32>;
@group(0) @binding(2) var<uniform> params: Params;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
  if (id.x >= params.outputs) { return; }
  var sum = 0.0;
  for (var row = 0u; row < params.rows; row++) { sum += dy[row * params.outputs + id.x]; }
  dbias[id.x] += sum;
}
