// y = x / sqrt(mean(x²) + eps) · weight, row by row. Assigns y.
@group(0) @binding(1) var<storage, read> x: array<Element>; // (rows, elements)
@group(0) @binding(4) var<storage, read> weight: array<Element>; // (elements)
@group(0) @binding(5) var<storage, read_write> y: array<Element>; // (rows, elements)

fn work_on(place: Place, local: u32) {
  var squares = Element();
  for (var c = place.lane; c < place.end; c += LANES) {
    let v = x[place.begin + c];
    squares += v * v;
  }
  let mean_square = reduce(vec2<f32>(total(squares), 0.0), local).x / params.columns;
  let scale = 1.0 / sqrt(mean_square + params.eps);
  for (var c = place.lane; c < place.end; c += LANES) {
    let i = place.begin + c;
    y[i] = x[i] * scale * weight[c];
  }
}
