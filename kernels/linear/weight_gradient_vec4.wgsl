// dweight (outputs, inputs) += dyᵀ (rows, outputs) · x (rows, inputs), both widths multiples of 4. Adds.
// An invocation sums 4 outputs × 4 inputs; a workgroup covers 16 outputs × 32 inputs.
struct Params { rows: u32, outputs: u32, inputs: u32 }
@group(0) @binding(0) var<storage, read> dy: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read> x: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read_write> dweight: array<vec4<f32>>;
@group(0) @binding(3) var<uniform> params: Params;

@compute @workgroup_size(8, 4)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
  let inputs = params.inputs / 4u;
  let outputs = params.outputs / 4u;
  if (id.x >= inputs || id.y >= outputs) { return; }
  var s0 = vec4<f32>(0.0);
  var s1 = vec4<f32>(0.0);
  var s2 = vec4<f32>(0.0);
  var s3 = vec4<f32>(0.0);
  for (var row = 0u; row < params.rows; row++) {
    let v = x[row * inputs + id.x];
    let d = dy[row * outputs + id.y];
    s0 = fma(vec4<f32>(d.x), v, s0);
    s1 = fma(vec4<f32>(d.y), v, s1);
    s2 = fma(vec4<f32>(d.z), v, s2);
    s3 = fma(vec4<f32>(d.w), v, s3);
  }
  let at = 4u * id.y * inputs + id.x;
  dweight[at] += s0;
  dweight[at + inputs] += s1;
  dweight[at + 2u * inputs] += s2;
  dweight[at + 3u * inputs] += s3;
}
