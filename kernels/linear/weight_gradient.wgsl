// dweight (outputs, inputs) += dyᵀ (rows, outputs) · x (rows, inputs). Adds.
// An invocation sums 4 outputs × 4 inputs; a workgroup covers 16 outputs × 32 inputs.
struct Params { rows: u32, outputs: u32, inputs: u32 }
@group(0) @binding(0) var<storage, read> dy: array<f32>;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read_write> dweight: array<f32>;
@group(0) @binding(3) var<uniform> params: Params;

fn x_at(row: u32, input: u32) -> f32 {
  return x[row * params.inputs + min(input, params.inputs - 1u)];
}

fn dy_at(row: u32, output: u32) -> f32 {
  return dy[row * params.outputs + min(output, params.outputs - 1u)];
}

fn add(output: u32, input: u32, sum: vec4<f32>) {
  if (output >= params.outputs) { return; }
  let at = output * params.inputs + input;
  if (input < params.inputs) { dweight[at] += sum.x; }
  if (input + 1u < params.inputs) { dweight[at + 1u] += sum.y; }
  if (input + 2u < params.inputs) { dweight[at + 2u] += sum.z; }
  if (input + 3u < params.inputs) { dweight[at + 3u] += sum.w; }
}

@compute @workgroup_size(8, 4)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
  let input = 4u * id.x;
  let output = 4u * id.y;
  if (input >= params.inputs || output >= params.outputs) { return; }
  var s0 = vec4<f32>(0.0);
  var s1 = vec4<f32>(0.0);
  var s2 = vec4<f32>(0.0);
  var s3 = vec4<f32>(0.0);
  for (var row = 0u; row < params.rows; row++) {
    let v = vec4<f32>(x_at(row, input), x_at(row, input + 1u), x_at(row, input + 2u), x_at(row, input + 3u));
    s0 = fma(vec4<f32>(dy_at(row, output)), v, s0);
    s1 = fma(vec4<f32>(dy_at(row, output + 1u)), v, s1);
    s2 = fma(vec4<f32>(dy_at(row, output + 2u)), v, s2);
    s3 = fma(vec4<f32>(dy_at(row, output + 3u)), v, s3);
  }
  add(output, input, s0);
  add(output + 1u, input, s1);
  add(output + 2u, input, s2);
  add(output + 3u, input, s3);
}
