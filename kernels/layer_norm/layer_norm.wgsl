// y = (v − mean(v)) / sqrt(variance(v) + eps) · weight + bias, row by row, where v comes from take() and again(). Assigns y.
@group(0) @binding(4) var<storage, read> weight: array<Element>; // (elements)
@group(0) @binding(5) var<storage, read> bias: array<Element>; // (elements)
@group(0) @binding(6) var<storage, read_write> y: array<Element>; // (rows, elements)

@compute @workgroup_size(WORKGROUP)
fn main(
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(num_workgroups) groups: vec3<u32>,
  @builtin(local_invocation_index) local: u32,
) {
  let place = place_of(group, groups, local);
  var values = Element();
  for (var i = place.first; i < place.end; i += LANES) {
    values += take(i);
  }
  let mean = reduce(vec2<f32>(total(values), 0.0), local).x / params.columns;
  var squares = Element();
  for (var i = place.first; i < place.end; i += LANES) {
    let v = again(i) - Element(mean);
    squares += v * v;
  }
  let variance = reduce(vec2<f32>(total(squares), 0.0), local).x / params.columns;
  let scale = 1.0 / sqrt(variance + params.eps);
  for (var i = place.first; i < place.end; i += LANES) {
    y[i] = (again(i) - Element(mean)) * scale * weight[i - place.begin] + bias[i - place.begin];
  }
}
