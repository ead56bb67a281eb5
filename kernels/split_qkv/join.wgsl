// From queries and from keys and values to joined rows; rows without a place among these get zeros.
@group(0) @binding(4) var<storage, read_write> qkv: array<Element>; // (rows, heads + 2 · kv_heads, head)
@group(0) @binding(5) var<storage, read> q: array<Element>; // (rows, heads, head)
@group(0) @binding(6) var<storage, read> kv: array<Element>; // (kv_rows, 2 · kv_heads, head)

fn load(place: Place, further: u32, exists: bool) -> Element {
  if (place.is_query) {
    return q[place.apart + further];
  }
  if (exists) {
    return kv[place.apart + further];
  }
  return Element();
}

fn store(place: Place, further: u32, _exists: bool, value: Element) {
  qkv[place.joined + further] = value;
}
