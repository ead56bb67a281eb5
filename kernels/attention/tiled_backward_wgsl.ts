/** WGSL of attention's backward pass for GPUs; see `tiled_wgsl.ts` for how tiles are cut. */
import { OPERANDS_WGSL, range, repeat } from "./text.ts";
import {
  columnOf,
  declareSums,
  mix,
  rowsOf,
  rowSpans,
  scores,
  storeSums,
  TILE,
  type TileCut,
  tiledMain,
  tiledMemory,
} from "./tiled_wgsl.ts";

const XYZW = ["x", "y", "z", "w"];

/** What both kernels read beside the operands. */
const GRADIENT_WGSL = `
@group(0) @binding(5) var<storage, read> dy: array<vec4<f32>>; // (rows, heads · headDim)
@group(0) @binding(6) var<storage, read> lse: array<f32>; // (rows, heads)
fn y_place(row: u32, head: u32) -> u32 { return row * params.heads + head; }`;

/** Backward for the queries: assigns dq and delta (rows, heads), the sum of dout · y of a row and head. Workgroups: tiles of rows, heads. */
export function tiledBackwardQuery(headDim: number, { cut }: { cut: TileCut }): string {
  const vectors = headDim / 4;
  const columns = 4 * cut.across;
  const threads = 256 / cut.down;
  const ofRows = (binding: string, h: number) => `vec4<f32>(${XYZW.map((s) => `${binding}[y_place(safe${h}.${s}, head)]`).join(", ")})`;
  const perRow = threads / TILE; // threads that add up a row of dout · y
  const rowSum = (h: number, i: number) => {
    const at = `${perRow}u * (4u * (ty + ${16 / cut.down * h}u) + ${i}u)`;
    return range(perRow).map((n) => `stage[${at} + ${n}u].x`).join(" + ");
  };
  return `${OPERANDS_WGSL}
${GRADIENT_WGSL}
@group(0) @binding(7) var<storage, read> y: array<vec4<f32>>; // (rows, heads · headDim)
@group(0) @binding(8) var<storage, read_write> delta: array<f32>; // (rows, heads)
@group(0) @binding(9) var<storage, read_write> dq: array<f32>;
${tiledMemory(cut)}
${tiledMain("params.rows", cut)}
  ${rowSpans("keys", cut, { binding: "ranges", limit: "params.keys" })}
  let scale = params.scale * LOG2E;
${rowsOf(cut, (h) => `  let row_lse${h} = ${ofRows("lse", h)} * LOG2E;`)}
  var partial = 0.0;
  for (var i = thread % ${perRow}u; i < ${vectors}u; i += ${perRow}u) {
    let at = y_place(min(first_row + thread / ${perRow}u, params.rows - 1u), head) * ${vectors}u + i;
    partial += dot(dy[at], y[at]);
  }
  stage[thread] = vec4<f32>(partial);
  workgroupBarrier();
${
    rowsOf(cut, (h) =>
      `  let row_delta${h} = vec4<f32>(${range(4).map((i) => rowSum(h, i)).join(", ")});
${
        repeat(4, (i) =>
          `if (tx == ${4 * h + i}u && real${h}.${XYZW[i]}) { delta[y_place(row${h}.${XYZW[i]}, head)] = row_delta${h}.${XYZW[i]}; }`)
      }`)
  }
${declareSums("dq", headDim, { cut })}
  for (var first = keys.x; first < keys.y; first += ${TILE * cut.across}u) {
${
    scores("s", {
      headDim,
      cut,
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
      headDim,
      cut,
      a: { binding: "dy", place: (of) => `y_place(${of}, head) * ${vectors}u`, start: "first_row", last: "params.rows - 1u" },
      b: { binding: "v", place: (of) => `v_place(${of}) + kv_head * ${vectors}u`, start: "first", last: "keys.y - 1u" },
    })
  }
${
    rowsOf(cut, (h) =>
      `    let here${h} = vec4<u32>(first + 4u * tx) - start${h}; // wraps below the range, and is then too large
${
        repeat(columns, (s) =>
          `s${s}_${h} = select(vec4<f32>(0.0), exp2(s${s}_${h} - row_lse${h}) * (d${s}_${h} - row_delta${h}), ` +
          `here${h} + ${64 * (s >> 2) + s % 4}u < seen${h});`)
      }`)
  }
${
    mix("dq", {
      headDim,
      cut,
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
      headDim,
      cut,
      binding: "dq",
      place: (row) => `dq_place(${row}) + head * ${vectors}u`,
      factor: () => "factor",
    })
  }
}`;
}

/**
 * Backward for keys and values: assigns dk and dv of one query head; `key_sum.wgsl` adds up the heads of a group.
 * Rows of a tile are keys, columns queries. Workgroups: tiles of keys, query heads.
 */
export function tiledBackwardKey(headDim: number, { cut }: { cut: TileCut }): string {
  const vectors = headDim / 4;
  const columns = 4 * cut.across;
  const shared = { headDim, cut };
  const values = (weights: string, binding: string, place: (of: string) => string) => ({
    ...{ ...shared, weights, binding, place },
    ...{ start: "first", end: "queries.y" },
  });
  return `${OPERANDS_WGSL}
${GRADIENT_WGSL}
@group(0) @binding(7) var<storage, read> delta: array<f32>; // (rows, heads)
@group(0) @binding(8) var<storage, read> key_ranges: array<vec2<u32>>; // (keys): rows that may see a key
@group(0) @binding(9) var<storage, read_write> dkv: array<f32>; // of every query head
${tiledMemory(cut)}
${tiledMain("params.keys", cut)}
  ${rowSpans("queries", cut, { binding: "key_ranges", limit: "params.rows" })}
  let scale = params.scale * LOG2E;
${declareSums("dk", headDim, { cut })}
${declareSums("dv", headDim, { cut })}
  for (var first = queries.x; first < queries.y; first += ${TILE * cut.across}u) {
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
    repeat(columns, (s) => `
    let query${s} = min(first + ${columnOf(s)}, queries.y - 1u);
    let start_of${s} = ranges[query${s}].x;
    let end_of${s} = select(start_of${s}, ranges[query${s}].y, first + ${columnOf(s)} < queries.y);
    let lse_of${s} = lse[y_place(query${s}, head)] * LOG2E;
    let delta_of${s} = delta[y_place(query${s}, head)];
${
      rowsOf(cut, (h) => `
    { let is = (row${h} >= vec4<u32>(start_of${s})) & (row${h} < vec4<u32>(end_of${s})) & real${h};
    s${s}_${h} = select(vec4<f32>(0.0), exp2(s${s}_${h} - lse_of${s}), is);
    d${s}_${h} = select(vec4<f32>(0.0), s${s}_${h} * (d${s}_${h} - delta_of${s}), is); }`)
    }`)
  }
${mix("dv", values("s", "dy", (of) => `y_place(${of}, head) * ${vectors}u`))}
    workgroupBarrier();
${mix("dk", values("d", "q", (of) => `q_place(${of}) + head * ${vectors}u`))}
  }
  let factor = vec4<f32>(params.scale);
  let one = vec4<f32>(1.0);
${storeSums("dk", { ...shared, binding: "dkv", place: (row) => `dk_place(${row}) + head * ${vectors}u`, factor: () => "factor" })}
${storeSums("dv", { ...shared, binding: "dkv", place: (row) => `dv_place(${row}) + head * ${vectors}u`, factor: () => "one" })}
}`;
}
