// Joins attention over two ranges of keys that have none in common, by the logarithms of their sums of exponentials. Assigns y, which holds
// the result over the first range. Followed by `element/flat.wgsl`.

struct Params {
  count: u32, // vec4s
  vectors: u32, // of a head
}
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read_write> y: array<vec4<f32>>; // (rows, heads · headDim)
@group(0) @binding(2) var<storage, read> other: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read> lse: array<f32>; // (rows, heads)
@group(0) @binding(4) var<storage, read> other_lse: array<f32>;

fn each(i: u32) {
  let head = i / params.vectors;
  let share = 1.0 / (1.0 + exp(lse[head] - other_lse[head]));
  y[i] = mix(y[i], other[i], share);
}
