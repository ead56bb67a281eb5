// The first token of every sequence, and behind it what follows it in the first guess that begins with it. One workgroup.
struct Params { sequences: u32, rows: u32, guesses: u32 }
@group(0) @binding(0) var<storage, read> first: array<u32>; // (sequences)
@group(0) @binding(1) var<storage, read> guesses: array<u32>; // (guesses, rows)
@group(0) @binding(2) var<storage, read_write> ids: array<u32>; // (sequences, rows)
@group(0) @binding(3) var<uniform> params: Params;

@compute @workgroup_size(64)
fn main(@builtin(local_invocation_index) thread: u32) {
  for (var i = thread; i < params.sequences; i += 64u) {
    var guess = 0u;
    while (guess < params.guesses && guesses[guess * params.rows] != first[i]) { guess++; }
    for (var n = 0u; n < params.rows; n++) {
      var id = first[i];
      if (guess < params.guesses) { id = guesses[guess * params.rows + n]; }
      ids[i * params.rows + n] = id;
    }
  }
}
