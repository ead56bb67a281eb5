/**
 * WGSL of attention for software adapters with 8 lanes to a subgroup. An invocation owns `items` (row, head) pairs of one key/value head,
 * with their query and sums in registers; the lanes together read `keys` keys at a time, each of them some vec4s, and hand them round by
 * `subgroupBroadcast`, since a load costs such an adapter far more than a multiplication. No barriers, no workgroup memory. The text is
 * generated because registers need constant indices; its length, `keys` · headDim, is what compiling costs.
 */
import { OPERANDS_WGSL, range, repeat } from "./text.ts";

/** What the text of a kernel depends on. */
export interface SoftwareShape {
  /** Numbers of a head, a multiple of 4. */
  readonly headDim: number;
  /** Query heads to a key/value head. */
  readonly group: number;
  /** (row, head) pairs of an invocation. */
  readonly items: number;
  /** Keys (backward for keys: (row, head) pairs) read at a time, up to 8. */
  readonly keys: number;
}

const LANES = 8;

/** How much an invocation does, for a head size: less for large heads, whose text takes seconds to compile. */
export function softwareShape(headDim: number, group: number): SoftwareShape {
  if (headDim <= 48) return { headDim, group, items: 2, keys: 4 };
  return { headDim, group, items: 1, keys: headDim <= 96 ? 2 : 1 };
}

/** Sum of a register's four numbers. */
const total = (name: string): string => `(${name}.x + ${name}.y) + (${name}.z + ${name}.w)`;

/** Which vec4s of a block of `keys` heads this lane reads: number `part` of the block's head `of`. */
function partsOf({ headDim, keys }: SoftwareShape): string {
  return repeat(Math.ceil(keys * headDim / 4 / LANES), (n) => `
  let of${n} = (${LANES * n}u + lane) / ${headDim / 4}u;
  let part${n} = (${LANES * n}u + lane) % ${headDim / 4}u;`);
}

/** Reads a block of heads into registers `name0`, `name1`, …; `place` gives the place of head number `of` in `name`. */
function read(name: string, { headDim, keys }: SoftwareShape, place: (of: string) => string): string {
  return repeat(Math.ceil(keys * headDim / 4 / LANES), (n) => `let ${name}${n} = ${name}[${place(`of${n}`)} + part${n}];`);
}

/** vec4 number `part` of a block's head `t`, in every lane. */
function spread(name: string, { headDim }: SoftwareShape, [t, part]: [number, number]): string {
  const place = t * headDim / 4 + part;
  return `subgroupBroadcast(${name}${Math.floor(place / LANES)}, ${place % LANES}u)`;
}

const MAIN = `@compute @workgroup_size(${LANES})
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  let kv_head = group.y;`;

/** Places and ranges of the invocation's items; the keys that any lane of the subgroup may see are [first, last). */
function items({ headDim, group, items }: SoftwareShape): string {
  return repeat(items, (r) => `
  let item${r} = group.x * ${LANES * items}u + ${LANES * r}u + lane;
  let place${r} = min(item${r}, params.rows * ${group}u - 1u);
  let row${r} = place${r} / ${group}u;
  let head${r} = kv_head * ${group}u + place${r} % ${group}u;
  let from${r} = ranges[row${r}].x;
  let to${r} = min(ranges[row${r}].y, params.keys);
  let seen${r} = select(0u, to${r} - from${r}, to${r} > from${r} && item${r} < params.rows * ${group}u);
  let q_at${r} = q_place(row${r}) + head${r} * ${headDim / 4}u;
  let dense_at${r} = (row${r} * params.heads + head${r}) * ${headDim / 4}u;`) + `
  let first = subgroupMin(${range(items).reduce((text, r) => `min(${text}, select(0xffffffffu, from${r}, seen${r} > 0u))`, "0xffffffffu")});
  let last = subgroupMax(${range(items).reduce((text, r) => `max(${text}, select(0u, to${r}, seen${r} > 0u))`, "0u")});`;
}

/** Forward: q, k, v, ranges → y and, where asked for, lse. */
export function softwareForward(shape: SoftwareShape, options: { lse: boolean }): string {
  const vectors = shape.headDim / 4;
  const keys = range(shape.keys);
  const each = (text: (r: number) => string) => repeat(shape.items, text);
  return `${OPERANDS_WGSL}
@group(0) @binding(5) var<storage, read_write> y: array<vec4<f32>>; // (rows, heads · headDim)
${options.lse ? "@group(0) @binding(6) var<storage, read_write> lse: array<f32>; // (rows, heads)" : ""}
${MAIN}
${items(shape)}
${partsOf(shape)}
  let scale = params.scale * LOG2E;
${each((r) => repeat(vectors, (c) => `let q${r}_${c} = q[q_at${r} + ${c}u] * scale; var y${r}_${c} = vec4<f32>(0.0);`))}
${each((r) => `var largest${r} = LOWEST; var sum${r} = 0.0;`)}
  for (var key = first; key < last; key += ${shape.keys}u) {
${read("k", shape, (of) => `k_place(min(key + ${of}, last - 1u)) + kv_head * ${vectors}u`)}
${read("v", shape, (of) => `v_place(min(key + ${of}, last - 1u)) + kv_head * ${vectors}u`)}
${each((r) => repeat(shape.keys, (t) => `var s${r}_${t} = vec4<f32>(0.0);`))}
${
    repeat(vectors, (c) =>
      repeat(shape.keys, (t) =>
        `{ let b = ${spread("k", shape, [t, c])}; ${
          each((r) => `s${r}_${t} = fma(q${r}_${c}, b, s${r}_${t});`)
        } }`))
  }
${
    each((r) => `
    let here${r} = key - from${r}; // wraps below the range, and is then too large
${
      repeat(
        shape.keys,
        (t) => `let is${r}_${t} = here${r} + ${t}u < seen${r}; let t${r}_${t} = select(LOWEST, ${total(`s${r}_${t}`)}, is${r}_${t});`,
      )
    }
    let top${r} = ${keys.reduce((text, t) => `max(${text}, t${r}_${t})`, `largest${r}`)};
    let fade${r} = exp2(largest${r} - top${r});
    largest${r} = top${r};
${repeat(shape.keys, (t) => `let p${r}_${t} = select(0.0, exp2(t${r}_${t} - top${r}), is${r}_${t});`)}
    sum${r} = fma(sum${r}, fade${r}, ${keys.map((t) => `p${r}_${t}`).join(" + ")});`)
  }
${
    repeat(vectors, (c) =>
      each((r) => `y${r}_${c} *= fade${r};`) +
      repeat(
        shape.keys,
        (t) => `{ let b = ${spread("v", shape, [t, c])}; ${each((r) => `y${r}_${c} = fma(vec4<f32>(p${r}_${t}), b, y${r}_${c});`)} }`,
      ))
  }
  }
${
    each((r) => `
  if (item${r} < params.rows * ${shape.group}u) {
    let inverse = select(0.0, 1.0 / sum${r}, sum${r} > 0.0);
${repeat(vectors, (c) => `y[dense_at${r} + ${c}u] = y${r}_${c} * inverse;`)}
    ${options.lse ? `lse[row${r} * params.heads + head${r}] = log_sum_exp(largest${r}, sum${r});` : ""}
  }`)
  }
}`;
}

/** Backward for the queries: assigns dq and delta (rows, heads), the sum of dout · y of a row and head. */
export function softwareBackwardQuery(shape: SoftwareShape): string {
  const vectors = shape.headDim / 4;
  const each = (text: (r: number) => string) => repeat(shape.items, text);
  return `${OPERANDS_WGSL}
@group(0) @binding(5) var<storage, read> y: array<vec4<f32>>; // (rows, heads · headDim)
@group(0) @binding(6) var<storage, read> dy: array<vec4<f32>>; // (rows, heads · headDim)
@group(0) @binding(7) var<storage, read> lse: array<f32>; // (rows, heads)
@group(0) @binding(8) var<storage, read_write> delta: array<f32>; // (rows, heads)
@group(0) @binding(9) var<storage, read_write> dq: array<vec4<f32>>;
${MAIN}
${items(shape)}
${partsOf(shape)}
  let scale = params.scale * LOG2E;
${
    each((r) => `
  let lse${r} = lse[row${r} * params.heads + head${r}] * LOG2E;
  var delta${r} = 0.0;
${
      repeat(vectors, (c) => `
  let q${r}_${c} = q[q_at${r} + ${c}u] * scale;
  let dy${r}_${c} = dy[dense_at${r} + ${c}u];
  delta${r} += dot(dy${r}_${c}, y[dense_at${r} + ${c}u]);
  var dq${r}_${c} = vec4<f32>(0.0);`)
    }`)
  }
  for (var key = first; key < last; key += ${shape.keys}u) {
${read("k", shape, (of) => `k_place(min(key + ${of}, last - 1u)) + kv_head * ${vectors}u`)}
${read("v", shape, (of) => `v_place(min(key + ${of}, last - 1u)) + kv_head * ${vectors}u`)}
${each((r) => repeat(shape.keys, (t) => `var s${r}_${t} = vec4<f32>(0.0); var d${r}_${t} = vec4<f32>(0.0);`))}
${
    repeat(vectors, (c) =>
      repeat(shape.keys, (t) =>
        `{ let b = ${spread("k", shape, [t, c])}; ${
          each((r) => `s${r}_${t} = fma(q${r}_${c}, b, s${r}_${t});`)
        } }
{ let b = ${spread("v", shape, [t, c])}; ${each((r) => `d${r}_${t} = fma(dy${r}_${c}, b, d${r}_${t});`)} }`))
  }
${
    each((r) => `
    let here${r} = key - from${r};
${
      repeat(shape.keys, (t) => `
    let ds${r}_${t} = select(0.0, exp2(${total(`s${r}_${t}`)} - lse${r}) * (${total(`d${r}_${t}`)} - delta${r}),
      here${r} + ${t}u < seen${r});`)
    }`)
  }
${
    repeat(vectors, (c) =>
      repeat(shape.keys, (t) =>
        `{ let b = ${spread("k", shape, [t, c])}; ${
          each((r) => `dq${r}_${c} = fma(vec4<f32>(ds${r}_${t}), b, dq${r}_${c});`)
        } }`))
  }
  }
${
    each((r) => `
  if (item${r} < params.rows * ${shape.group}u) {
    let dq_at = dq_place(row${r}) + head${r} * ${vectors}u;
${repeat(vectors, (c) => `dq[dq_at + ${c}u] = dq${r}_${c} * params.scale;`)}
    delta[row${r} * params.heads + head${r}] = delta${r};
  }`)
  }
}`;
}

/** Backward for keys and values: assigns dk and dv. A lane owns one key. */
export function softwareBackwardKey(shape: SoftwareShape): string {
  const { group, headDim } = shape;
  const vectors = headDim / 4;
  const row = (of: string) => `min((item + ${of}) / ${group}u, last - 1u)`;
  const head = (of: string) => `kv_head * ${group}u + (item + ${of}) % ${group}u`;
  return `${OPERANDS_WGSL}
@group(0) @binding(5) var<storage, read> key_ranges: array<vec2<u32>>; // (keys): rows that may see a key
@group(0) @binding(6) var<storage, read> dy: array<vec4<f32>>; // (rows, heads · headDim)
@group(0) @binding(7) var<storage, read> lse: array<f32>; // (rows, heads)
@group(0) @binding(8) var<storage, read> delta: array<f32>; // (rows, heads)
@group(0) @binding(9) var<storage, read_write> dkv: array<vec4<f32>>;
${MAIN}
  let key = group.x * ${LANES}u + lane;
  let mine = min(key, params.keys - 1u);
  let span = key_ranges[mine];
  let to = min(span.y, params.rows);
  let seen = key < params.keys && to > span.x;
  let first = subgroupMin(select(0xffffffffu, span.x, seen));
  let last = subgroupMax(select(0u, to, seen));
  let scale = params.scale * LOG2E;
${partsOf(shape)}
${
    repeat(vectors, (c) => `
  let k_${c} = k[k_place(mine) + kv_head * ${vectors}u + ${c}u] * scale;
  let v_${c} = v[v_place(mine) + kv_head * ${vectors}u + ${c}u];
  var dk_${c} = vec4<f32>(0.0);
  var dv_${c} = vec4<f32>(0.0);`)
  }
  for (var item = min(first, last) * ${group}u; item < last * ${group}u; item += ${shape.keys}u) {
${read("q", shape, (of) => `q_place(${row(of)}) + (${head(of)}) * ${vectors}u`)}
${read("dy", shape, (of) => `(${row(of)} * params.heads + ${head(of)}) * ${vectors}u`)}
    let row = ${row("lane")};
    let place = row * params.heads + ${head("lane")};
    let row_lse = lse[place] * LOG2E;
    let row_delta = delta[place];
    let row_from = ranges[row].x;
    let row_seen = select(0u, ranges[row].y - row_from, item + lane < last * ${group}u && ranges[row].y > row_from);
${repeat(shape.keys, (t) => `var s${t} = vec4<f32>(0.0); var d${t} = vec4<f32>(0.0);`)}
${
    repeat(vectors, (c) =>
      repeat(shape.keys, (t) =>
        `s${t} = fma(k_${c}, ${spread("q", shape, [t, c])}, s${t});
d${t} = fma(v_${c}, ${spread("dy", shape, [t, c])}, d${t});`))
  }
${
    repeat(shape.keys, (t) => `
    let is${t} = key - subgroupBroadcast(row_from, ${t}u) < subgroupBroadcast(row_seen, ${t}u);
    let p${t} = select(0.0, exp2(${total(`s${t}`)} - subgroupBroadcast(row_lse, ${t}u)), is${t});
    let ds${t} = select(0.0, p${t} * (${total(`d${t}`)} - subgroupBroadcast(row_delta, ${t}u)), is${t});`)
  }
${
    repeat(vectors, (c) =>
      repeat(shape.keys, (t) =>
        `dk_${c} = fma(vec4<f32>(ds${t}), ${spread("q", shape, [t, c])}, dk_${c});
dv_${c} = fma(vec4<f32>(p${t}), ${spread("dy", shape, [t, c])}, dv_${c});`))
  }
  }
  if (key < params.keys) {
    let dk_at = dk_place(key) + kv_head * ${vectors}u;
    let dv_at = dv_place(key) + kv_head * ${vectors}u;
${repeat(vectors, (c) => `dkv[dk_at + ${c}u] = dk_${c} * params.scale; dkv[dv_at + ${c}u] = dv_${c};`)}
  }
}`;
}
