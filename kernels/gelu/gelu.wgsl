// y = activation(x), element by element. Assigns y (or changes it in place: see the text joined to this one).
struct Params {
  count: u32, // elements
}
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read_write> y: array<Element>;

@compute @workgroup_size(WORKGROUP)
fn main(
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(num_workgroups) groups: vec3<u32>,
  @builtin(local_invocation_index) local: u32,
) {
  let i = place_of(group, groups, local);
  if (i < params.count) {
    y[i] = activation(load(i));
  }
}
