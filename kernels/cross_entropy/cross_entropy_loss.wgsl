// nll (rows) = -log softmax(logits)[target], stats (rows, 2) = maximum and log of the sum, loss (1) = sum of weights · nll. Assigns.
// One workgroup; an invocation takes every 64th row.
struct Params { rows: u32, width: u32, columns: u32, count: u32 }
@group(0) @binding(0) var<storage, read> logits: array<f32>;
@group(0) @binding(1) var<storage, read> targets: array<u32>;
@group(0) @binding(2) var<storage, read> weights: array<f32>;
@group(0) @binding(3) var<storage, read> parts: array<vec2<f32>>;
@group(0) @binding(4) var<storage, read_write> nll: array<f32>;
@group(0) @binding(5) var<storage, read_write> loss: array<f32>;
@group(0) @binding(6) var<storage, read_write> stats: array<vec2<f32>>;
@group(0) @binding(7) var<uniform> params: Params;
var<workgroup> sums: array<f32, 64>;

@compute @workgroup_size(64)
fn main(@builtin(local_invocation_index) thread: u32) {
  var weighted = 0.0;
  for (var row = thread; row < params.rows; row += 64u) {
    let first = row * params.count;
    let last = first + params.count;
    var largest = -3.4e38;
    for (var i = first; i < last; i++) { largest = max(largest, parts[i].x); }
    var sum = 0.0;
    for (var i = first; i < last; i++) { sum += parts[i].y * exp(parts[i].x - largest); }
    let log_sum = log(sum);
    let target_column = min(targets[row], params.columns - 1u);
    let value = (largest - logits[row * params.width + target_column]) + log_sum;
    stats[row] = vec2<f32>(largest, log_sum);
    nll[row] = value;
    if (weights[row] != 0.0) { weighted += weights[row] * value; }
  }
  sums[thread] = weighted;
  workgroupBarrier();
  if (thread == 0u) {
    var total = 0.0;
    for (var i = 0u; i < min(64u, params.rows); i++) { total += sums[i]; }
    loss[0] = total;
  }
}
