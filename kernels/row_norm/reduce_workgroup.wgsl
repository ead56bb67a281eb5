// Sums over the LANES (a power of two) invocations that share a row, as a tree.
var<workgroup> partial: array<vec2<f32>, WORKGROUP>;

fn reduce(v: vec2<f32>, local: u32) -> vec2<f32> {
  workgroupBarrier(); // an earlier reduction may still be read
  partial[local] = v;
  workgroupBarrier();
  for (var step = LANES / 2u; step > 0u; step /= 2u) {
    if (local % LANES < step) {
      partial[local] += partial[local + step];
    }
    workgroupBarrier();
  }
  return partial[local - local % LANES];
}
