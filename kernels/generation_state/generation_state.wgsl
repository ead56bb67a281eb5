// Takes the chosen token of every sequence into the state of decoding. One workgroup.
struct Params { sequences: u32, limit: u32, advance: u32 }
@group(0) @binding(0) var<storage, read> next: array<u32>;
@group(0) @binding(1) var<storage, read_write> ids: array<u32>;
@group(0) @binding(2) var<storage, read_write> positions: array<u32>; // (sequences, 3)
@group(0) @binding(3) var<storage, read_write> ranges: array<u32>; // (sequences, 2)
@group(0) @binding(4) var<storage, read_write> cache_row: array<u32>;
@group(0) @binding(5) var<storage, read_write> step: array<u32>;
@group(0) @binding(6) var<storage, read_write> generated: array<u32>; // (sequences, limit)
@group(0) @binding(7) var<uniform> params: Params;

@compute @workgroup_size(64)
fn main(@builtin(local_invocation_index) thread: u32) {
  let now = step[0];
  for (var i = thread; i < params.sequences; i += 64u) {
    if (now < params.limit) { generated[i * params.limit + now] = next[i]; }
    ids[i] = next[i];
    positions[3u * i] += params.advance;
    positions[3u * i + 1u] += params.advance;
    positions[3u * i + 2u] += params.advance;
    ranges[2u * i + 1u] += params.advance;
    cache_row[i] += params.advance;
  }
  workgroupBarrier();
  if (thread == 0u) { step[0] = now + 1u; }
}
