// From joined rows to queries and to keys and values; rows without a place among these are left out.
@group(0) @binding(4) var<storage, read> qkv: array<Element>; // (rows, heads + 2 · kv_heads, head)
@group(0) @binding(5) var<storage, read_write> q: array<Element>; // (rows, heads, head)
@group(0) @binding(6) var<storage, read_write> kv: array<Element>; // (kv_rows, 2 · kv_heads, head)

fn load(place: Place, further: u32, _exists: bool) -> Element {
  return qkv[place.joined + further];
}

fn store(place: Place, further: u32, exists: bool, value: Element) {
  if (place.is_query) {
    q[place.apart + further] = value;
  } else if (exists) {
    kv[place.apart + further] = value;
  }
}
