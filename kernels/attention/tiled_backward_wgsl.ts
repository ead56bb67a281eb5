/** WGSL of attention's backward pass for GPUs; see `tiled_wgsl.ts` for how tiles are cut. */
import { GRADIENT_WGSL, OPERANDS_WGSL, range, repeat } from "./text.ts";
import {
  columnOf,
  columnsOfThread,
  declareSums,
  mix,
  rowSpans,
  scores,
  storeSums,
  type TileColumns,
  tiledMain,
  tiledMemory,
  XYZW,
} from "./tiled_wgsl.ts";

/** Columns of a tile: with wide ones, two kinds of sums would leave too few registers. */
export const BACKWARD_COLUMNS: TileColumns = 64;

/** Backward for the queries: assigns dq and delta (rows, heads), the sum of dout · y of a row and head. Workgroups: see `tilePlace`. */
export function tiledBackwardQuery(headDim: number, { causal }: { causal: boolean }): string {
  const vectors = headDim / 4;
  const shared = { headDim, columns: BACKWARD_COLUMNS };
  const ofRows = (binding: string) => `vec4<f32>(${XYZW.map((s) => `${binding}[y_place(safe.${s}, head)]`).join(", ")})`;
  const rowSum = (i: number) => range(4).map((n) => `stage[ty][${4 * i + n}].x`).join(" + ");
  return `${OPERANDS_WGSL}
${GRADIENT_WGSL}
@group(0) @binding(7) var<storage, read> y: array<vec4<f32>>; // (rows, heads · headDim)
@group(0) @binding(8) var<storage, read_write> delta: array<f32>; // (rows, heads)
@group(0) @binding(9) var<storage, read_write> dq: array<f32>;
${tiledMemory(BACKWARD_COLUMNS)}
${tiledMain("queries", { causal })}
  ${rowSpans("keys", { binding: "ranges", limit: "params.keys" })}
  let scale = params.scale * LOG2E;
  let row_lse = ${ofRows("lse")} * LOG2E;
  var partial = 0.0; // four threads add up a row of dout · y
  for (var i = thread % 4u; i < ${vectors}u; i += 4u) {
    let at = y_place(min(first_row + thread / 4u, params.rows - 1u), head) * ${vectors}u + i;
    partial += dot(dy[at], y[at]);
  }
  stage[ty][tx] = vec4<f32>(partial);
  workgroupBarrier();
  let row_delta = vec4<f32>(${range(4).map(rowSum).join(", ")});
${repeat(4, (i) => `if (tx == ${i}u && real.${XYZW[i]}) { delta[y_place(row.${XYZW[i]}, head)] = row_delta.${XYZW[i]}; }`)}
${declareSums("dq", headDim)}
  for (var first = keys.x; first < keys.y; first += ${BACKWARD_COLUMNS}u) {
${
    scores("s", {
      ...shared,
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
    scores("d", {
      ...shared,
      a: { binding: "dy", place: (of) => `y_place(${of}, head) * ${vectors}u`, start: "first_row", last: "params.rows - 1u" },
      b: { binding: "v", place: (of) => `v_place(${of}) + kv_head * ${vectors}u`, start: "first", last: "keys.y - 1u" },
    })
  }
    let here = vec4<u32>(first + 4u * tx) - start; // wraps below the range, and is then too large
${
    repeat(columnsOfThread(BACKWARD_COLUMNS), (s) =>
      `s${s} = select(vec4<f32>(0.0), exp2(s${s} - row_lse) * (d${s} - row_delta), here + ${s}u < seen);`)
  }
${
    mix("dq", {
      ...shared,
      weights: "s",
      binding: "k",
      place: (of) => `k_place(${of}) + kv_head * ${vectors}u`,
      start: "first",
      end: "keys.y",
    })
  }
  }
  let factor = vec4<f32>(params.scale);
${
    storeSums("dq", {
      ...shared,
      binding: "dq",
      place: (row) => `dq_place(${row}) + head * ${vectors}u`,
      factor: "factor",
    })
  }
}`;
}

/**
 * Backward for keys and values: assigns dk and dv of one query head; `key_sum.wgsl` adds up the heads of a group.
 * Rows of a tile are keys, columns queries. Workgroups: see `tilePlace`.
 */
export function tiledBackwardKey(headDim: number, { causal }: { causal: boolean }): string {
  const vectors = headDim / 4;
  const shared = { headDim, columns: BACKWARD_COLUMNS };
  const values = (weights: string, binding: string, place: (of: string) => string) => ({
    ...{ ...shared, weights, binding, place },
    ...{ start: "first", end: "queries.y" },
  });
  return `${OPERANDS_WGSL}
${GRADIENT_WGSL}
@group(0) @binding(7) var<storage, read> delta: array<f32>; // (rows, heads)
@group(0) @binding(8) var<storage, read> key_ranges: array<vec2<u32>>; // (keys): rows that may see a key
@group(0) @binding(9) var<storage, read_write> dkv: array<f32>; // of every query head
${tiledMemory(BACKWARD_COLUMNS)}
${tiledMain("keys", { causal })}
  ${rowSpans("queries", { binding: "key_ranges", limit: "params.rows" })}
  let scale = params.scale * LOG2E;
${declareSums("dk", headDim)}
${declareSums("dv", headDim)}
  for (var first = queries.x; first < queries.y; first += ${BACKWARD_COLUMNS}u) {
${
    scores("s", {
      ...shared,
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
    scores("d", {
      ...shared,
      a: { binding: "v", place: (of) => `v_place(${of}) + kv_head * ${vectors}u`, start: "first_row", last: "params.keys - 1u" },
      b: { binding: "dy", place: (of) => `y_place(${of}, head) * ${vectors}u`, start: "first", last: "queries.y - 1u" },
    })
  }
${
    repeat(columnsOfThread(BACKWARD_COLUMNS), (s) => `
    { let query = min(first + ${columnOf(s)}, queries.y - 1u);
    let start_of = ranges[query].x;
    let end_of = select(start_of, ranges[query].y, first + ${columnOf(s)} < queries.y);
    let lse_of = lse[y_place(query, head)] * LOG2E;
    let delta_of = delta[y_place(query, head)];
    let is = (row >= vec4<u32>(start_of)) & (row < vec4<u32>(end_of)) & real;
    s${s} = select(vec4<f32>(0.0), exp2(s${s} - lse_of), is);
    d${s} = select(vec4<f32>(0.0), s${s} * (d${s} - delta_of), is); }`)
  }
${mix("dv", values("s", "dy", (of) => `y_place(${of}, head) * ${vectors}u`))}
    workgroupBarrier();
${mix("dk", values("d", "q", (of) => `q_place(${of}) + head * ${vectors}u`))}
  }
  let factor = vec4<f32>(params.scale);
  let one = vec4<f32>(1.0);
${storeSums("dk", { ...shared, binding: "dkv", place: (row) => `dk_place(${row}) + head * ${vectors}u`, factor: "factor" })}
${storeSums("dv", { ...shared, binding: "dkv", place: (row) => `dv_place(${row}) + head * ${vectors}u`, factor: "one" })}
}`;
}
