// With r = 1 / sqrt(mean(x²) + eps) and g = dy · weight: dx = r · (g − x · r² · mean(g · x)). Assigns base() + dx.
@group(0) @binding(1) var<storage, read> x: array<Element>; // (rows, elements)
@group(0) @binding(2) var<storage, read> weight: array<Element>; // (elements)
@group(0) @binding(3) var<storage, read> dy: array<Element>; // (rows, elements)
@group(0) @binding(4) var<storage, read_write> dx: array<Element>; // (rows, elements)

fn work_on(place: Place, local: u32) {
  var squares = Element();
  var products = Element();
  for (var c = place.lane; c < place.end; c += LANES) {
    let i = place.begin + c;
    let v = x[i];
    squares += v * v;
    products += dy[i] * weight[c] * v;
  }
  let means = reduce(vec2<f32>(total(squares), total(products)), local) / params.columns;
  let inverse = 1.0 / (means.x + params.eps); // r²
  let scale = sqrt(inverse); // r
  let along = inverse * means.y;
  for (var c = place.lane; c < place.end; c += LANES) {
    let i = place.begin + c;
    dx[i] = base(i) + scale * (dy[i] * weight[c] - x[i] * along);
  }
}
