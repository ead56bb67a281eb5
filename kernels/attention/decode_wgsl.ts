/**
 * WGSL of attention for GPUs and few queries: the keys of a query are split among workgroups, and a second kernel joins the parts
 * ("Flash-Decoding", Dao et al. 2023). A workgroup serves all query heads of one key/value head, so keys and values are read once.
 */
import { OPERANDS_WGSL, PARAMS_WGSL, range, repeat } from "./text.ts";

/** Keys of a part, and invocations of a workgroup. */
export const PART = 128;
/** Vectors that an invocation asks for before it waits for the first: there are too few invocations for others to fill the time. */
const AT_ONCE = 8;

/** Workgroup memory of the first kernel, in bytes. */
export function decodeBytes({ headDim, group }: { headDim: number; group: number }): number {
  return 4 * group * (headDim + PART + 32) + 16 * group * PART + 8;
}

/** What both kernels agree on. */
const PARTS_WGSL = `
// Keys of a row: the first, and how many.
fn row_keys(row: u32) -> vec2<u32> {
  let start = ranges[row].x;
  let to = min(ranges[row].y, params.keys);
  return vec2<u32>(start, select(0u, to - start, to > start));
}
// Number of a row's and head's first part among all parts.
fn part_place(row: u32, head: u32) -> u32 {
  return (row * params.heads + head) * ((params.keys + ${PART - 1}u) / ${PART}u);
}`;

/**
 * First kernel. Workgroups: parts of the keys, key/value heads, rows. Assigns `parts` (rows, heads, parts, headDim), the sums of values
 * times 2^(score - largest), and `sums` (rows, heads, parts), the largest score and the sum of the powers; only for parts that a row has.
 */
export function decodeParts({ headDim, group }: { headDim: number; group: number }): string {
  const vectors = headDim / 4;
  const slices = Math.floor(PART / vectors);
  const each = (text: (g: number) => string) => repeat(group, text);
  return `${OPERANDS_WGSL}
@group(0) @binding(5) var<storage, read_write> parts: array<vec4<f32>>;
@group(0) @binding(6) var<storage, read_write> sums: array<vec2<f32>>;
${PARTS_WGSL}
var<workgroup> query: array<vec4<f32>, ${group * vectors}>;
var<workgroup> weight: array<f32, ${group * PART}>; // [head of the group][key]
var<workgroup> tops: array<f32, ${group * 16}>; // largest score of every 16th key
var<workgroup> folds: array<f32, ${group * 16}>; // sum of every 16th key's power
var<workgroup> slice_sums: array<vec4<f32>, ${group * PART}>; // [head of the group][thread]
var<workgroup> span: vec2<u32>;

@compute @workgroup_size(${PART})
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
  let kv_head = group.y;
  let row = group.z;
  if (thread == 0u) { span = row_keys(row); }
  let keys = workgroupUniformLoad(&span);
  if (group.x * ${PART}u >= keys.y) { return; }
  let first = keys.x + group.x * ${PART}u;
  let count = min(${PART}u, keys.y - group.x * ${PART}u);
  for (var i = thread; i < ${group * vectors}u; i += ${PART}u) {
    query[i] = q[q_place(row) + kv_head * ${group * vectors}u + i] * (params.scale * LOG2E);
  }
  workgroupBarrier();

  // This thread's key against every query head.
  let k_at = k_place(first + min(thread, count - 1u)) + kv_head * ${vectors}u;
${each((g) => `var s${g} = vec4<f32>(0.0);`)}
${
    repeat(Math.ceil(vectors / AT_ONCE), (batch) => {
      const some = range(vectors).slice(batch * AT_ONCE, (batch + 1) * AT_ONCE);
      return `  { ${some.map((i) => `let b${i} = k[k_at + ${i}u];`).join(" ")}
${each((g) => some.map((i) => `s${g} = fma(query[${g * vectors + i}], b${i}, s${g});`).join(" "))} }`;
    })
  }
${
    each((g) => `
  let score${g} = select(LOWEST, (s${g}.x + s${g}.y) + (s${g}.z + s${g}.w), thread < count);
  weight[${g * PART}u + thread] = score${g};`)
  }
  workgroupBarrier();
  for (var i = thread; i < ${group * 16}u; i += ${PART}u) {
    let at = i / 16u * ${PART}u + i % 16u;
    var top = weight[at];
    for (var j = 16u; j < ${PART}u; j += 16u) { top = max(top, weight[at + j]); }
    tops[i] = top;
  }
  workgroupBarrier();
${
    each((g) => `
  var top${g} = tops[${16 * g}];
  for (var i = 1u; i < 16u; i++) { top${g} = max(top${g}, tops[${16 * g}u + i]); }
  weight[${g * PART}u + thread] = select(0.0, exp2(score${g} - top${g}), thread < count);`)
  }
  workgroupBarrier();
  for (var i = thread; i < ${group * 16}u; i += ${PART}u) {
    let at = i / 16u * ${PART}u + i % 16u;
    var sum = weight[at];
    for (var j = 16u; j < ${PART}u; j += 16u) { sum += weight[at + j]; }
    folds[i] = sum;
  }

  // Values: a thread owns a vec4 of the head and every ${slices}th key.
  let column = thread % ${vectors}u;
  let slice = thread / ${vectors}u;
${each((g) => `var y${g} = vec4<f32>(0.0);`)}
  if (slice < ${slices}u) {
    for (var i = slice; i < count; i += ${AT_ONCE * slices}u) {
${
    repeat(AT_ONCE, (n) =>
      `      let n${n} = min(i + ${n * slices}u, count - 1u); let b${n} = v[v_place(first + n${n}) + kv_head * ${vectors}u + column];`)
  }
${
    repeat(AT_ONCE, (n) =>
      `      { let there = i + ${n * slices}u < count;
${each((g) => `      y${g} = fma(vec4<f32>(select(0.0, weight[${g * PART}u + n${n}], there)), b${n}, y${g});`)} }`)
  }
    }
  }
${each((g) => `  slice_sums[${g * PART}u + thread] = y${g};`)}
${each((g) => `  if (thread == ${g}u) { tops[${16 * g}] = top${g}; }`)}
  workgroupBarrier();
  for (var i = thread; i < ${group * vectors}u; i += ${PART}u) {
    let g = i / ${vectors}u;
    let place = part_place(row, kv_head * ${group}u + g) + group.x;
    let at = g * ${PART}u + i % ${vectors}u;
    var total = slice_sums[at];
    for (var n = 1u; n < ${slices}u; n++) { total += slice_sums[at + n * ${vectors}u]; }
    parts[place * ${vectors}u + i % ${vectors}u] = total;
    if (i % ${vectors}u == 0u) {
      var sum = folds[16u * g];
      for (var n = 1u; n < 16u; n++) { sum += folds[16u * g + n]; }
      sums[place] = vec2<f32>(tops[16u * g], sum);
    }
  }
}`;
}

/** Second kernel: joins the parts of a row and head. An invocation owns a vec4 of the result. Assigns y and, where asked for, lse. */
export function decodeJoin({ headDim }: { headDim: number }, options: { lse: boolean }): string {
  const vectors = headDim / 4;
  return `${PARAMS_WGSL}
@group(0) @binding(1) var<storage, read> parts: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> sums: array<vec2<f32>>;
@group(0) @binding(5) var<storage, read_write> y: array<vec4<f32>>; // (rows, heads · headDim)
${options.lse ? "@group(0) @binding(6) var<storage, read_write> lse: array<f32>; // (rows, heads)" : ""}
${PARTS_WGSL}

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
  let column = id.x % ${vectors}u;
  let head = id.x / ${vectors}u % params.heads;
  let row = id.x / ${vectors}u / params.heads;
  if (row >= params.rows) { return; }
  let first = part_place(row, head);
  let count = (row_keys(row).y + ${PART - 1}u) / ${PART}u;
  var largest = LOWEST;
  for (var i = 0u; i < count; i += ${AT_ONCE}u) {
${repeat(AT_ONCE, (n) => `    let s${n} = sums[first + min(i + ${n}u, count - 1u)].x;`)}
    largest = max(largest, ${range(AT_ONCE).map((n) => `s${n}`).reduce((a, b) => `max(${a}, ${b})`)});
  }
  var sum = 0.0;
  var total = vec4<f32>(0.0);
  for (var i = 0u; i < count; i += ${AT_ONCE}u) {
${
    repeat(AT_ONCE, (n) =>
      `    let at${n} = first + min(i + ${n}u, count - 1u); let s${n} = sums[at${n}]; let p${n} = parts[at${n} * ${vectors}u + column];`)
  }
${
    repeat(AT_ONCE, (n) =>
      `    { let factor = select(0.0, exp2(s${n}.x - largest), i + ${n}u < count);
    sum = fma(factor, s${n}.y, sum); total = fma(vec4<f32>(factor), p${n}, total); }`)
  }
  }
  y[id.x] = total * select(0.0, 1.0 / sum, sum > 0.0);
  ${options.lse ? "if (column == 0u) { lse[row * params.heads + head] = log_sum_exp(largest, sum); }" : ""}
}`;
}
