// Row of the keys and values of each row.
@group(0) @binding(7) var<storage, read> index: array<u32>; // (rows)

fn kv_row_of(row: u32) -> u32 {
  return index[row];
}
