// Element-wise kernels: an invocation for each element.
const WORKGROUP: u32 = 64u;

fn place_of(group: vec3<u32>, groups: vec3<u32>, local: u32) -> u32 {
  return (group.y * groups.x + group.x) * WORKGROUP + local;
}
