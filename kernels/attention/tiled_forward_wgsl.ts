/** WGSL of attention for GPUs; see `tiled_wgsl.ts` for how tiles are cut. */
import { OPERANDS_WGSL, range, repeat } from "./text.ts";
import {
  columnOffset,
  columnsOfThread,
  declareSums,
  mix,
  overColumns,
  rowSpans,
  scaleSums,
  scores,
  storeSums,
  type TileColumns,
  tiledMain,
  tiledMemory,
  XYZW,
} from "./tiled_wgsl.ts";

/** Forward: q, k, v, ranges → y and, where asked for, lse. Workgroups: see `tilePlace`. */
export function tiledForward(headDim: number, { lse, columns, causal }: { lse: boolean; columns: TileColumns; causal: boolean }): string {
  const vectors = headDim / 4;
  const held = columnsOfThread(columns);
  const fold = (join: (a: string, b: string) => string): string => range(held).map((s) => `s${s}`).reduce(join);
  return `${OPERANDS_WGSL}
@group(0) @binding(5) var<storage, read_write> y: array<f32>; // (rows, heads · headDim)
${lse ? "@group(0) @binding(6) var<storage, read_write> lse: array<f32>; // (rows, heads)" : ""}
${tiledMemory(columns)}
${tiledMain("queries", { causal })}
  ${rowSpans("keys", { binding: "ranges", limit: "params.keys" })}
  let scale = params.scale * LOG2E;
  var largest = vec4<f32>(LOWEST);
  var sum = vec4<f32>(0.0); // of this thread's columns
${declareSums("y", headDim)}
  for (var first = keys.x; first < keys.y; first += ${columns}u) {
${
    scores("s", {
      headDim,
      columns,
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
    let here = vec4<u32>(first + 4u * tx) - start; // wraps below the range, and is then too large
${repeat(held, (s) => `s${s} = select(vec4<f32>(LOWEST), s${s}, here + ${columnOffset(s)}u < seen);`)}
    var top = ${fold((a, b) => `max(${a}, ${b})`)};
${overColumns("top", { fold: (a, b) => `max(${a}, ${b})` })}
    top = max(top, largest);
    let fade = exp2(largest - top);
    largest = top;
${repeat(held, (s) => `s${s} = select(vec4<f32>(0.0), exp2(s${s} - top), here + ${columnOffset(s)}u < seen);`)}
    sum = fma(sum, fade, ${fold((a, b) => `(${a} + ${b})`)});
${scaleSums("y", headDim, { factor: "fade" })}
${
    mix("y", {
      headDim,
      columns,
      weights: "s",
      binding: "v",
      place: (of) => `v_place(${of}) + kv_head * ${vectors}u`,
      start: "first",
      end: "keys.y",
    })
  }
  }
${overColumns("sum", { fold: (a, b) => `${a} + ${b}` })}
  let inverse = select(vec4<f32>(0.0), 1.0 / sum, sum > vec4<f32>(0.0));
${storeSums("y", { headDim, binding: "y", place: (row) => `(${row} * params.heads + head) * ${vectors}u`, factor: "inverse" })}
${
    lse
      ? repeat(4, (i) => {
        const part = XYZW[i];
        return `if (tx == ${i}u && real.${part}) ` +
          `{ lse[row.${part} * params.heads + head] = log_sum_exp(largest.${part}, sum.${part}); }`;
      })
      : ""
  }
}`;
}
