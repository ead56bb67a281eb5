// y = v / sqrt(mean(v²) + eps) · weight, row by row, where v comes from take() and again(). Assigns y.
@group(0) @binding(4) var<storage, read> weight: array<Element>; // (elements)
@group(0) @binding(5) var<storage, read_write> y: array<Element>; // (rows, elements)

@compute @workgroup_size(WORKGROUP)
fn main(
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(num_workgroups) groups: vec3<u32>,
  @builtin(local_invocation_index) local: u32,
) {
  let place = place_of(group, groups, local);
  var squares = Element();
  for (var c = place.lane; c < place.end; c += LANES) {
    let v = take(place.begin + c);
    squares += v * v;
  }
  let mean_square = reduce(vec2<f32>(total(squares), 0.0), local).x / params.columns;
  let scale = 1.0 / sqrt(mean_square + params.eps);
  for (var c = place.lane; c < place.end; c += LANES) {
    let i = place.begin + c;
    y[i] = again(i) * scale * weight[c];
  }
}
