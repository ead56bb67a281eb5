// Which row an invocation works on, and which elements of it: LANES invocations share a row, and call `work_on` together.
const WORKGROUP: u32 = 64u;
const LANES: u32 = 1u;

struct Params {
  rows: u32,
  elements: u32, // of a row
  columns: f32, // numbers of a row
  eps: f32,
}
@group(0) @binding(0) var<uniform> params: Params;

struct Place {
  begin: u32, // the row's first element in the tensor
  lane: u32, // this invocation's first element in the row; the next are LANES further each
  end: u32, // elements of the row; 0 for rows past the last (without an early return: all invocations have to reach the barriers)
}

@compute @workgroup_size(WORKGROUP)
fn main(
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(num_workgroups) groups: vec3<u32>,
  @builtin(local_invocation_index) local: u32,
) {
  let row = (group.y * groups.x + group.x) * (WORKGROUP / LANES) + local / LANES;
  work_on(Place(row * params.elements, local % LANES, select(0u, params.elements, row < params.rows)), local);
}
