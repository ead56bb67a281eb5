/**
 * WGSL of attention for software adapters with 8 lanes to a subgroup. An invocation owns ITEMS (row, head) pairs of one key/value head,
 * with their query and sums in registers; eight keys are read at a time, one by each lane, and handed round by `subgroupBroadcast`,
 * since a load costs such an adapter far more than a multiplication. No barriers, no workgroup memory. The text is generated because
 * registers need constant indices.
 */
import { range, repeat, SLICES_WGSL } from "./text.ts";

/** What the text of a kernel depends on. */
export interface SoftwareShape {
  /** Numbers of a head, a multiple of 4. */
  readonly headDim: number;
  /** Query heads to a key/value head. */
  readonly group: number;
  /** (row, head) pairs of an invocation. */
  readonly items: number;
}

const LANES = 8;
const XYZW = ["x", "y", "z", "w"];

/** `sum += a · b` for vec4 registers, as a chain of fused multiply-adds. */
const dotInto = (sum: string, a: string, b: string): string => XYZW.map((s) => `${sum} = fma(${a}.${s}, ${b}.${s}, ${sum});`).join(" ");

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
  const each = (text: (r: number) => string) => repeat(shape.items, text);
  return `${SLICES_WGSL}
@group(0) @binding(5) var<storage, read_write> y: array<vec4<f32>>; // (rows, heads · headDim)
${options.lse ? "@group(0) @binding(6) var<storage, read_write> lse: array<f32>; // (rows, heads)" : ""}
${MAIN}
${items(shape)}
  let scale = params.scale * LOG2E;
${each((r) => repeat(vectors, (c) => `let q${r}_${c} = q[q_at${r} + ${c}u] * scale; var y${r}_${c} = vec4<f32>(0.0);`))}
${each((r) => `var largest${r} = LOWEST; var sum${r} = 0.0;`)}
  for (var key = first; key < last; key += ${LANES}u) {
    let mine = min(key + lane, params.keys - 1u);
    let k_at = k_place(mine) + kv_head * ${vectors}u;
${each((r) => range(LANES).map((t) => `var s${r}_${t} = 0.0;`).join(" "))}
${
    repeat(vectors, (c) =>
      `let k${c} = k[k_at + ${c}u];\n` +
      repeat(LANES, (t) => `{ let b = subgroupBroadcast(k${c}, ${t}u); ${each((r) => dotInto(`s${r}_${t}`, `q${r}_${c}`, "b"))} }`))
  }
${
    each((r) => `
    let here${r} = key - from${r}; // wraps below the range, and is then too large
${repeat(LANES, (t) => `let is${r}_${t} = here${r} + ${t}u < seen${r}; s${r}_${t} = select(LOWEST, s${r}_${t}, is${r}_${t});`)}
    let top${r} = ${range(LANES).reduce((text, t) => `max(${text}, s${r}_${t})`, `largest${r}`)};
    let fade${r} = exp2(largest${r} - top${r});
    largest${r} = top${r};
${repeat(LANES, (t) => `let p${r}_${t} = select(0.0, exp2(s${r}_${t} - top${r}), is${r}_${t});`)}
    sum${r} = fma(sum${r}, fade${r}, ${sumOf(range(LANES).map((t) => `p${r}_${t}`))});`)
  }
    let v_at = v_place(mine) + kv_head * ${vectors}u;
${
    repeat(vectors, (c) =>
      `let v${c} = v[v_at + ${c}u];\n${each((r) => `y${r}_${c} *= fade${r};`)}\n` +
      repeat(LANES, (t) =>
        `{ let b = subgroupBroadcast(v${c}, ${t}u); ` +
        each((r) => `y${r}_${c} = fma(vec4<f32>(p${r}_${t}), b, y${r}_${c});`) + " }"))
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

/** Adds in pairs. */
function sumOf(terms: readonly string[]): string {
  if (terms.length === 1) return terms[0];
  const half = Math.ceil(terms.length / 2);
  return `(${sumOf(terms.slice(0, half))} + ${sumOf(terms.slice(half))})`;
}

/** Backward for the queries: assigns dq and delta (rows, heads), the sum of dout · y of a row and head. */
export function softwareBackwardQuery(shape: SoftwareShape): string {
  const vectors = shape.headDim / 4;
  const each = (text: (r: number) => string) => repeat(shape.items, text);
  return `${SLICES_WGSL}
@group(0) @binding(5) var<storage, read> y: array<vec4<f32>>; // (rows, heads · headDim)
@group(0) @binding(6) var<storage, read> dy: array<vec4<f32>>; // (rows, heads · headDim)
@group(0) @binding(7) var<storage, read> lse: array<f32>; // (rows, heads)
@group(0) @binding(8) var<storage, read_write> delta: array<f32>; // (rows, heads)
@group(0) @binding(9) var<storage, read_write> dq: array<vec4<f32>>;
${MAIN}
${items(shape)}
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
  for (var key = first; key < last; key += ${LANES}u) {
    let mine = min(key + lane, params.keys - 1u);
    let k_at = k_place(mine) + kv_head * ${vectors}u;
    let v_at = v_place(mine) + kv_head * ${vectors}u;
${each((r) => range(LANES).map((t) => `var s${r}_${t} = 0.0; var d${r}_${t} = 0.0;`).join(" "))}
${
    repeat(vectors, (c) =>
      `let k${c} = k[k_at + ${c}u]; let v${c} = v[v_at + ${c}u];\n` +
      repeat(LANES, (t) => `{ let b = subgroupBroadcast(k${c}, ${t}u); ${each((r) => dotInto(`s${r}_${t}`, `q${r}_${c}`, "b"))} }`) +
      repeat(LANES, (t) => `{ let b = subgroupBroadcast(v${c}, ${t}u); ${each((r) => dotInto(`d${r}_${t}`, `dy${r}_${c}`, "b"))} }`))
  }
${
    each((r) => `
    let here${r} = key - from${r};
${
      repeat(LANES, (t) =>
        `let ds${r}_${t} = select(0.0, exp2(s${r}_${t} - lse${r}) * (d${r}_${t} - delta${r}), here${r} + ${t}u < seen${r});`)
    }`)
  }
${
    repeat(vectors, (c) =>
      repeat(LANES, (t) =>
        `{ let b = subgroupBroadcast(k${c}, ${t}u); ` +
        each((r) => `dq${r}_${c} = fma(vec4<f32>(ds${r}_${t}), b, dq${r}_${c});`) + " }"))
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

/** Backward for keys and values: assigns dk and dv. A lane owns one key; eight (row, head) pairs are read at a time. */
export function softwareBackwardKey({ headDim, group }: SoftwareShape): string {
  const vectors = headDim / 4;
  return `${SLICES_WGSL}
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
${
    repeat(vectors, (c) => `
  let k${c} = k[k_place(mine) + kv_head * ${vectors}u + ${c}u] * scale;
  let v${c} = v[v_place(mine) + kv_head * ${vectors}u + ${c}u];
  var dk${c} = vec4<f32>(0.0);
  var dv${c} = vec4<f32>(0.0);`)
  }
  for (var item = min(first, last) * ${group}u; item < last * ${group}u; item += ${LANES}u) {
    let row = min((item + lane) / ${group}u, params.rows - 1u);
    let head = kv_head * ${group}u + (item + lane) % ${group}u;
    let exists = item + lane < last * ${group}u;
    let q_at = q_place(row) + head * ${vectors}u;
    let dy_at = (row * params.heads + head) * ${vectors}u;
    let row_lse = lse[row * params.heads + head] * LOG2E;
    let row_delta = delta[row * params.heads + head];
    let row_from = ranges[row].x;
    let row_seen = select(0u, ranges[row].y - row_from, exists && ranges[row].y > row_from);
${range(LANES).map((t) => `var s${t} = 0.0; var d${t} = 0.0;`).join(" ")}
${
    repeat(vectors, (c) =>
      `let q${c} = q[q_at + ${c}u]; let dy${c} = dy[dy_at + ${c}u];\n` +
      repeat(LANES, (t) => `{ let b = subgroupBroadcast(q${c}, ${t}u); ${dotInto(`s${t}`, `k${c}`, "b")} }`) +
      repeat(LANES, (t) => `{ let b = subgroupBroadcast(dy${c}, ${t}u); ${dotInto(`d${t}`, `v${c}`, "b")} }`))
  }
${
    repeat(LANES, (t) => `
    let p${t} = select(0.0, exp2(s${t} - subgroupBroadcast(row_lse, ${t}u)),
      key - subgroupBroadcast(row_from, ${t}u) < subgroupBroadcast(row_seen, ${t}u));
    let ds${t} = p${t} * (d${t} - subgroupBroadcast(row_delta, ${t}u));`)
  }
${
    repeat(vectors, (c) =>
      repeat(LANES, (t) => `dk${c} = fma(vec4<f32>(ds${t}), subgroupBroadcast(q${c}, ${t}u), dk${c});`) +
      repeat(LANES, (t) => `dv${c} = fma(vec4<f32>(p${t}), subgroupBroadcast(dy${c}, ${t}u), dv${c});`))
  }
  }
  if (key < params.keys) {
    let dk_at = dk_place(key) + kv_head * ${vectors}u;
    let dv_at = dv_place(key) + kv_head * ${vectors}u;
${repeat(vectors, (c) => `dkv[dk_at + ${c}u] = dk${c} * params.scale; dkv[dv_at + ${c}u] = dv${c};`)}
  }
}`;
}
