/** WGSL of attention's backward pass for GPUs; see `tiled_wgsl.ts` for how tiles are cut. */
import { OPERANDS_WGSL, repeat } from "./text.ts";
import { declareSums, mix, rowSpans, scores, storeSums, storeTile, TILE, TILED_WGSL, tiledMain } from "./tiled_wgsl.ts";

const XYZW = ["x", "y", "z", "w"];

/** What both kernels read beside the operands. */
const GRADIENT_WGSL = `
@group(0) @binding(5) var<storage, read> dy: array<vec4<f32>>; // (rows, heads · headDim)
@group(0) @binding(6) var<storage, read> lse: array<f32>; // (rows, heads)
fn y_place(row: u32, head: u32) -> u32 { return row * params.heads + head; }`;

/** Backward for the queries: assigns dq and delta (rows, heads), the sum of dout · y of a row and head. Workgroups: tiles of rows, heads. */
export function tiledBackwardQuery(headDim: number): string {
  const vectors = headDim / 4;
  const ofRows = (binding: string) => `vec4<f32>(${XYZW.map((s) => `${binding}[y_place(safe.${s}, head)]`).join(", ")})`;
  return `${OPERANDS_WGSL}
${GRADIENT_WGSL}
@group(0) @binding(7) var<storage, read> y: array<vec4<f32>>; // (rows, heads · headDim)
@group(0) @binding(8) var<storage, read_write> delta: array<f32>; // (rows, heads)
@group(0) @binding(9) var<storage, read_write> dq: array<f32>;
${TILED_WGSL}
fn row_sum(at: u32) -> f32 { return (stage[at].x + stage[at + 1u].x) + (stage[at + 2u].x + stage[at + 3u].x); }
${tiledMain("params.rows")}
  ${rowSpans("ranges", "params.keys")}
  let keys = union_of(thread, start, seen);
  let scale = params.scale * LOG2E;
  let row_lse = ${ofRows("lse")} * LOG2E;
  var partial = 0.0;
  for (var i = thread % 4u; i < ${vectors}u; i += 4u) {
    let at = y_place(min(first_row + thread / 4u, params.rows - 1u), head) * ${vectors}u + i;
    partial += dot(dy[at], y[at]);
  }
  stage[thread] = vec4<f32>(partial);
  workgroupBarrier();
  let row_delta = vec4<f32>(${XYZW.map((_, i) => `row_sum(16u * ty + ${4 * i}u)`).join(", ")});
${repeat(4, (i) => `if (tx == ${i}u && real.${XYZW[i]}) { delta[y_place(row.${XYZW[i]}, head)] = row_delta.${XYZW[i]}; }`)}
${declareSums("dq", headDim)}
  for (var first = keys.x; first < keys.y; first += ${TILE}u) {
${
    scores("s", headDim, {
      a: {
        binding: "q",
        place: (of) => `q_place(${of}) + head * ${vectors}u`,
        start: "first_row",
        last: "params.rows - 1u",
        factor: "scale",
      },
      b: { binding: "k", place: (of) => `k_place(${of}) + kv_head * ${vectors}u`, start: "first", last: "keys.y - 1u" },
    })
  }
${
    scores("d", headDim, {
      a: { binding: "dy", place: (of) => `y_place(${of}, head) * ${vectors}u`, start: "first_row", last: "params.rows - 1u" },
      b: { binding: "v", place: (of) => `v_place(${of}) + kv_head * ${vectors}u`, start: "first", last: "keys.y - 1u" },
    })
  }
    let here = vec4<u32>(first + 4u * tx) - start; // wraps below the range, and is then too large
${repeat(4, (s) => `s${s} = select(vec4<f32>(0.0), exp2(s${s} - row_lse) * (d${s} - row_delta), here + ${s}u < seen);`)}
${storeTile("s")}
${mix("dq", headDim, { binding: "k", place: (of) => `k_place(${of}) + kv_head * ${vectors}u`, start: "first", end: "keys.y" })}
  }
  let factor = vec4<f32>(params.scale);
${storeSums("dq", headDim, { binding: "dq", place: (row) => `dq_place(${row}) + head * ${vectors}u`, factor: "factor" })}
}`;
}

/**
 * Backward for keys and values: assigns dk and dv of one query head; `key_sum.wgsl` adds up the heads of a group.
 * Rows of a tile are keys, columns queries. Workgroups: tiles of keys, query heads.
 */
export function tiledBackwardKey(headDim: number): string {
  const vectors = headDim / 4;
  return `${OPERANDS_WGSL}
${GRADIENT_WGSL}
@group(0) @binding(7) var<storage, read> delta: array<f32>; // (rows, heads)
@group(0) @binding(8) var<storage, read> key_ranges: array<vec2<u32>>; // (keys): rows that may see a key
@group(0) @binding(9) var<storage, read_write> dkv: array<f32>; // of every query head
${TILED_WGSL}
${tiledMain("params.keys")}
  ${rowSpans("key_ranges", "params.rows")}
  let queries = union_of(thread, start, seen);
  let scale = params.scale * LOG2E;
${declareSums("dk", headDim)}
${declareSums("dv", headDim)}
  for (var first = queries.x; first < queries.y; first += ${TILE}u) {
${
    scores("s", headDim, {
      a: {
        binding: "k",
        place: (of) => `k_place(${of}) + kv_head * ${vectors}u`,
        start: "first_row",
        last: "params.keys - 1u",
        factor: "scale",
      },
      b: { binding: "q", place: (of) => `q_place(${of}) + head * ${vectors}u`, start: "first", last: "queries.y - 1u" },
    })
  }
${
    scores("d", headDim, {
      a: { binding: "v", place: (of) => `v_place(${of}) + kv_head * ${vectors}u`, start: "first_row", last: "params.keys - 1u" },
      b: { binding: "dy", place: (of) => `y_place(${of}, head) * ${vectors}u`, start: "first", last: "queries.y - 1u" },
    })
  }
${
    repeat(4, (s) => `
    let query${s} = min(first + 4u * tx + ${s}u, queries.y - 1u);
    let start${s} = ranges[query${s}].x;
    let end${s} = select(start${s}, ranges[query${s}].y, first + 4u * tx + ${s}u < queries.y);
    let is${s} = (row >= vec4<u32>(start${s})) & (row < vec4<u32>(end${s})) & real;
    s${s} = select(vec4<f32>(0.0), exp2(s${s} - lse[y_place(query${s}, head)] * LOG2E), is${s});
    d${s} = select(vec4<f32>(0.0), s${s} * (d${s} - delta[y_place(query${s}, head)]), is${s});`)
  }
${storeTile("s")}
${mix("dv", headDim, { binding: "dy", place: (of) => `y_place(${of}, head) * ${vectors}u`, start: "first", end: "queries.y" })}
    workgroupBarrier();
${storeTile("d")}
${mix("dk", headDim, { binding: "q", place: (of) => `q_place(${of}) + head * ${vectors}u`, start: "first", end: "queries.y" })}
  }
  let factor = vec4<f32>(params.scale);
  let one = vec4<f32>(1.0);
${storeSums("dk", headDim, { binding: "dkv", place: (row) => `dk_place(${row}) + head * ${vectors}u`, factor: "factor" })}
${storeSums("dv", headDim, { binding: "dkv", place: (row) => `dv_place(${row}) + head * ${vectors}u`, factor: "one" })}
}`;
}
