// Cosine and sine of a pair of the row's numbers. Beside params.axes, the columns of positions.
const WIDTH: u32 = 1u; // numbers of an Element
const HALF: u32 = 1u; // elements of half a head
@group(0) @binding(1) var<storage, read> positions: array<u32>; // (rows, axes)
@group(0) @binding(2) var<storage, read> table: array<vec2<f32>>; // (positions, pairs): cosine, sine
@group(0) @binding(3) var<storage, read> frequency_axes: array<u32>; // (pairs): a column of positions

fn rotation(row: u32, pair: u32) -> vec2<f32> {
  let position = positions[row * params.axes + frequency_axes[pair]];
  return table[position * (HALF * WIDTH) + pair];
}
