// y[t] = source[index[t] − first] where the source has that row; other rows of y stay. An invocation for each element of y.
struct Params {
  count: u32, // elements of y
  elements: u32, // of a row
  rows: u32, // of the source
  first: u32, // index of the source's first row
}
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> index: array<u32>; // (T)
@group(0) @binding(2) var<storage, read_write> y: array<Element>; // (T, elements)

fn each(i: u32) {
  let t = i / params.elements;
  let row = index[t] - params.first; // below the first row it wraps around to a large number
  if (row < params.rows) {
    y[i] = load(row, i % params.elements);
  }
}
