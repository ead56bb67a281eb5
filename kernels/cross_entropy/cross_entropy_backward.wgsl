// dlogits (rows, width) = weight · (softmax − one-hot), 0 from `columns` on. Assigns. Four columns an invocation.
struct Params { width: u32, columns: u32 }
@group(0) @binding(0) var<storage, read> logits: array<f32>;
@group(0) @binding(1) var<storage, read> targets: array<u32>;
@group(0) @binding(2) var<storage, read> weights: array<f32>;
@group(0) @binding(3) var<storage, read> stats: array<vec2<f32>>;
@group(0) @binding(4) var<storage, read_write> dlogits: array<f32>;
@group(0) @binding(5) var<uniform> params: Params;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
  let row = id.y;
  let weight = weights[row];
  let target_column = targets[row];
  let statistics = stats[row];
  for (var i = 0u; i < 4u; i++) {
    let column = (id.x / 64u) * 256u + i * 64u + (id.x & 63u);
    if (column >= params.width) { return; }
    let at = row * params.width + column;
    var value = 0.0;
    if (column < params.columns && weight != 0.0) {
      value = weight * (exp((logits[at] - statistics.x) - statistics.y) - select(0.0, 1.0, column == target_column));
    }
    dlogits[at] = value;
  }
}
