// Keys and values of the rows follow each other.
fn kv_row_of(row: u32) -> u32 {
  return row;
}
