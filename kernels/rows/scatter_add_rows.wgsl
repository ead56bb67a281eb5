// y[n] = (ADD ? y[n] : 0) + the sum over t with index[t] = n of dy[t], in the order of t. An invocation has one column of
// rows_each rows of y to itself, so nothing depends on the order in which invocations run.
const ADD: bool = false;

struct Params {
  count: u32, // invocations
  elements: u32, // of a row
  rows: u32, // of y
  rows_each: u32, // of an invocation
  terms: u32, // T
}
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> index: array<u32>; // (T)
@group(0) @binding(2) var<storage, read> dy: array<Element>; // (T, elements)
@group(0) @binding(3) var<storage, read_write> y: array<Element>; // (rows, elements)

fn each(i: u32) {
  let column = i % params.elements;
  let first = (i / params.elements) * params.rows_each;
  let rows = min(params.rows_each, params.rows - first);
  let at = first * params.elements + column;
  if (!ADD) {
    for (var n = 0u; n < rows; n++) {
      y[at + n * params.elements] = Element();
    }
  }
  for (var t = 0u; t < params.terms; t++) {
    let n = index[t] - first; // below the first row it wraps around to a large number
    if (n < rows) {
      y[at + n * params.elements] += dy[t * params.elements + column];
    }
  }
}
