// Maximum and sum of exp(x - maximum) of `per` columns of a row: parts (rows, count, 2).
struct Params { rows: u32, width: u32, columns: u32, per: u32, count: u32 }
@group(0) @binding(0) var<storage, read> logits: array<f32>;
@group(0) @binding(1) var<storage, read_write> parts: array<vec2<f32>>;
@group(0) @binding(2) var<uniform> params: Params;

@compute @workgroup_size(8)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
  let part = id.x;
  let row = id.y;
  if (part >= params.count) { return; }
  let start = row * params.width;
  let end = start + min(params.columns, (part + 1u) * params.per);
  var largest = -3.4e38;
  for (var i = start + part * params.per; i < end; i++) { largest = max(largest, logits[i]); }
  var sum = 0.0;
  for (var i = start + part * params.per; i < end; i++) { sum += exp(logits[i] - largest); }
  parts[row * params.count + part] = vec2<f32>(largest, sum);
}
