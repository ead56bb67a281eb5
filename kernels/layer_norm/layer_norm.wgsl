// y = (x − mean(x)) / sqrt(variance(x) + eps) · weight + bias, row by row. Assigns y.
@group(0) @binding(1) var<storage, read> x: array<Element>; // (rows, elements)
@group(0) @binding(4) var<storage, read> weight: array<Element>; // (elements)
@group(0) @binding(5) var<storage, read> bias: array<Element>; // (elements)
@group(0) @binding(6) var<storage, read_write> y: array<Element>; // (rows, elements)

fn work_on(place: Place, local: u32) {
  var values = Element();
  for (var c = place.lane; c < place.end; c += LANES) {
    values += x[place.begin + c];
  }
  let guess = reduce(vec2<f32>(total(values), 0.0), local).x / params.columns;
  // The rounded mean is corrected by the mean of what is left after subtracting it.
  var squares = Element();
  var rest = Element();
  for (var c = place.lane; c < place.end; c += LANES) {
    let v = x[place.begin + c] - Element(guess);
    squares += v * v;
    rest += v;
  }
  let moments = reduce(vec2<f32>(total(squares), total(rest)), local) / params.columns;
  let mean = guess + moments.y;
  let variance = max(moments.x - moments.y * moments.y, 0.0);
  let scale = 1.0 / sqrt(variance + params.eps);
  for (var c = place.lane; c < place.end; c += LANES) {
    let i = place.begin + c;
    y[i] = (x[i] - Element(mean)) * scale * weight[c] + bias[c];
  }
}
