// out (rows, padded) = columns [start, start + columns) of source (rows, width); zeros behind them.
struct Params { rows: u32, width: u32, start: u32, columns: u32, padded: u32 }
@group(0) @binding(0) var<storage, read> source: array<f32>;
@group(0) @binding(1) var<storage, read_write> out: array<f32>;
@group(0) @binding(2) var<uniform> params: Params;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
  if (id.x >= params.padded) { return; }
  for (var row = id.y; row < params.rows; row += 65535u) {
    var value = 0.0;
    if (id.x < params.columns) { value = source[row * params.width + params.start + id.x]; }
    out[row * params.padded + id.x] = value;
  }
}
