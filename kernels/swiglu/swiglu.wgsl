// y = silu(gate) · up. Assigns y.
struct Params {
  count: u32, // elements of the result
  elements: u32, // of a row of the result
}
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read_write> y: array<Element>; // (rows, elements)

@compute @workgroup_size(WORKGROUP)
fn main(
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(num_workgroups) groups: vec3<u32>,
  @builtin(local_invocation_index) local: u32,
) {
  let i = place_of(group, groups, local);
  if (i < params.count) {
    let pair = load(i);
    y[i] = pair.gate * sigmoid(pair.gate) * pair.up;
  }
}
