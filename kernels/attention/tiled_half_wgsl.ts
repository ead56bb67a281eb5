/**
 * WGSL of attention's forward pass in f16 for GPUs without tensor cores: a workgroup of 128 owns 128 rows of one head and walks over tiles of 64 keys
 * (FlashAttention-2, Dao 2023, arXiv:2307.08691), with queries, keys and values from `half_heads.ts`.
 *
 * A thread (ty, tx) of 16 × 8 holds rows 4ty … 4ty + 3 of each half of the rows, and keys 4tx … 4tx + 3 of each half of the keys, as vectors of rows;
 * of the sums it holds the same rows and every eighth four of columns, and a pair of the columns that are left. Sums in f16 are of 16 products at most,
 * and are added up in f32.
 *
 * A weight has its value's power of two in it, and what a row's weights are relative to is the largest of these: none is beyond 1, and what f16 rounds
 * is small beside what the row's result is made of, however large the values of its neighbours are. The sum of weights is taken without these powers.
 */
import { PARAMS_WGSL, range, repeat, SPAN_WGSL, tilePlace } from "./text.ts";
import { paddedHead } from "./half_heads.ts";
import {
  cutColumns,
  DEPTH,
  HALF_KEYS,
  HALF_ROWS,
  KEYS_AT,
  LINE,
  linesOf,
  put,
  QUERY_LINES,
  read,
  readPair,
  stageLines,
  times4,
} from "./tiled_half_layout.ts";

const THREADS = 128;
const PARTS = "xyzw";
const HALVES = [0, 1];

/** Options of {@linkcode tiledHalfForward}. */
export interface TiledHalfOptions {
  /** See `AttentionOperands`. */
  causal: boolean;
}

/** Statements for every vector of a thread's scores: half p of the rows, half g of the keys, key n of its four. */
const eachScore = (text: (p: number, g: number, n: number) => string): string =>
  HALVES.map((p) => HALVES.map((g) => range(4).map((n) => text(p, g, n)).join(" ")).join("\n")).join("\n");
/** Folds a thread's numbers, each a vector of rows, and then those of the eight threads that share its rows. */
const overKeys = (p: number, name: string, values: string[], fold: (a: string, b: string) => string): string =>
  `var ${name}${p} = ${values.reduce(fold)};\n` +
  [1, 2, 4].map((lane) => `${name}${p} = ${fold(`${name}${p}`, `subgroupShuffleXor(${name}${p}, ${lane}u)`)};`).join(" ");
const larger = (a: string, b: string): string => `max(${a}, ${b})`;

/**
 * The kernel: q, k, v and their scales, ranges → y (rows, heads · headDim). Workgroups: see `tilePlace`. Strides in the parameters are rows of a
 * head in `q`, and in `k` and `v`.
 */
export function tiledHalfForward(headDim: number, { causal }: TiledHalfOptions): string {
  const { vectors, quads, pair } = cutColumns(headDim);
  const depth = paddedHead(headDim);
  const [rowQuads, keyQuads] = [HALF_ROWS / 4, HALF_KEYS / 4];
  // Sums: <p><j>_<c> of column c of vector tx + 8j, <p>z_<c> of the pair.
  const eachSum = (text: (name: string, p: number) => string): string =>
    HALVES.map((p) =>
      [...range(quads).flatMap((j) => range(4).map((c) => `${p}${j}_${c}`)), ...(pair ? HALVES.map((c) => `${p}z_${c}`) : [])]
        .map((name) => text(name, p)).join(" ")
    ).join("\n");
  const moves = (count: number, text: (i: number) => string): string =>
    repeat(
      Math.ceil(count / THREADS),
      (i) => `{ let i = thread + ${i * THREADS}u; ${(i + 1) * THREADS > count ? `if (i < ${count}u) ` : ""}{ ${text(i)} } }`,
    );
  const rounds = (count: number): number => Math.ceil(count / THREADS);
  const ofQ = DEPTH * rowQuads;
  const ofK = DEPTH * keyQuads;
  const ofV = DEPTH * vectors;
  const readScores = `
${
    moves(ofQ, (i) =>
      `q${i} = q[(head * ${depth}u + number + i / ${rowQuads}u) * (params.q_stride / 4u) + first_row / 4u + i % ${rowQuads}u];`)
  }
${
    moves(ofK, (i) =>
      `k${i} = k[(kv_head * ${depth}u + number + i / ${keyQuads}u) * (params.k_stride / 4u) + first / 4u + i % ${keyQuads}u];`)
  }`;
  const readValues = moves(ofV, (i) =>
    `let of_key = first + key + i / ${vectors}u;
    v${i} = vec4<f16>();
    if (of_key >= keys.x && of_key < keys.y) { v${i} = v[(kv_head * params.k_stride + first + key) * ${vectors}u + i]; }`);
  const multiplyScores = repeat(DEPTH, (n) =>
    `{ ${HALVES.map((p) => `let a${p} = stage[${n * QUERY_LINES + p}][ty];`).join(" ")} ` +
    HALVES.map((g) => read(`b${g}`, KEYS_AT + n * linesOf(keyQuads), 8 * g)).join(" ") + "\n" +
    eachScore((p, g, n) => `h${p}${g}_${n} = fma(a${p}, ${times4(`b${g}`, n)}, h${p}${g}_${n});`) + " }");
  const multiplyValues = repeat(
    DEPTH,
    (n) =>
      `{ let at = ty ^ flip ^ ${(n >> 2) << 2}u; let a0 = weights[here + ${n}u][at]; let a1 = weights[here + ${n}u][at ^ 16u];\n` +
      range(quads).map((j) =>
        `${read(`b${j}`, n * linesOf(vectors), 8 * j)} ` +
        HALVES.map((p) => range(4).map((c) => `h${p}${j}_${c} = fma(a${p}, ${times4(`b${j}`, c)}, h${p}${j}_${c});`).join(" ")).join(" ")
      ).join("\n") +
      (pair
        ? `\n${readPair("e", n * linesOf(vectors), 8 * quads)} ` +
          HALVES.map((p) => HALVES.map((c) => `h${p}z_${c} = fma(a${p}, ${times4("e", c)}, h${p}z_${c});`).join(" ")).join(" ")
        : "") +
      " }",
  );
  const ofThread = (text: (g: number, n: number) => string): string[] => HALVES.flatMap((g) => range(4).map((n) => text(g, n)));
  const store = (p: number, r: number): string => {
    const row = `first_row + ${64 * p + r}u + 4u * ty`;
    const part = PARTS[r];
    const two = (value: string) => `vec2<f32>(${value}) * inverse${p}.${part}`;
    return `if (${row} < params.rows) { let at = ((${row}) * params.heads + head) * ${headDim / 2}u;
${
      repeat(quads, (j) =>
        `if (4u * tx + ${32 * j}u < ${headDim}u) { ` + HALVES.map((half) =>
          `y[at + 2u * tx + ${16 * j + half}u] = ${
            two(
              [0, 1].map((n) => `y${p}${j}_${2 * half + n}.${part}`).join(", "),
            )
          };`
        ).join(" ") + " }")
    }
${
      pair
        ? `if (2u * tx + ${32 * quads}u < ${headDim}u) { y[at + tx + ${16 * quads}u] = ${
          two([0, 1].map((n) => `y${p}z_${n}.${part}`).join(", "))
        }; }`
        : ""
    } }`;
  };
  return `enable f16;
${PARAMS_WGSL}
@group(0) @binding(1) var<storage, read> q: array<vec4<f16>>; // (heads, numbers, rows / 4)
@group(0) @binding(2) var<storage, read> k: array<vec4<f16>>; // (kvHeads, numbers, keys / 4)
@group(0) @binding(3) var<storage, read> v: array<vec4<f16>>; // (kvHeads, keys, numbers / 4)
@group(0) @binding(5) var<storage, read_write> y: array<vec2<f32>>; // (rows, heads · headDim)
@group(0) @binding(6) var<storage, read> q_scales: array<vec4<f32>>; // (heads, rows)
@group(0) @binding(7) var<storage, read> k_scales: array<vec4<f32>>; // (kvHeads, keys)
@group(0) @binding(8) var<storage, read> v_scales: array<vec4<f32>>;
// lines of [number][row / 4] and [number][key / 4], or of [key][number / 4]
var<workgroup> stage: array<array<vec4<f16>, ${LINE}>, ${stageLines(headDim)}>;
var<workgroup> weights: array<array<vec4<f16>, ${rowQuads}>, ${HALF_KEYS}>; // [key][row / 4], swizzled by key / 4 against bank conflicts
${SPAN_WGSL}
@compute @workgroup_size(${THREADS})
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
  let tx = thread % 8u;
  let ty = thread / 8u;
  let odd = tx % 2u == 1u;
  ${tilePlace({ rows: "queries", tile: HALF_ROWS, causal })}
${
    HALVES.map((p) =>
      `  let row${p} = vec4<u32>(first_row + ${64 * p}u + 4u * ty) + vec4<u32>(0u, 1u, 2u, 3u);
  let safe${p} = min(row${p}, vec4<u32>(params.rows - 1u));
  let start${p} = vec4<u32>(${range(4).map((r) => `ranges[safe${p}.${PARTS[r]}].x`).join(", ")});
  let to${p} = min(vec4<u32>(${range(4).map((r) => `ranges[safe${p}.${PARTS[r]}].y`).join(", ")}), vec4<u32>(params.keys));
  let seen${p} = select(vec4<u32>(0u), to${p} - start${p}, (to${p} > start${p}) & (row${p} < vec4<u32>(params.rows)));
  let factor${p} = q_scales[(head * params.q_stride + first_row) / 4u + ${16 * p}u + ty] * (params.scale * LOG2E);`
    ).join("\n")
  }
  if (tx == 0u) {
${
    HALVES.flatMap((p) =>
      range(4).map((r) => {
        const part = PARTS[r];
        return `if (row${p}.${part} < params.rows) { note_keys(start${p}.${part}, start${p}.${part} + seen${p}.${part}); }`;
      })
    ).join("\n")
  }
  }
  workgroupBarrier();
  if (thread == 0u) { span = noted_keys(); }
  let keys = workgroupUniformLoad(&span);
${HALVES.map((p) => `var largest${p} = vec4<f32>(LOWEST); var sum${p} = vec4<f32>();`).join("\n")}
${eachSum((name) => `var y${name} = vec4<f32>();`)}
  for (var first = keys.x / ${HALF_KEYS}u * ${HALF_KEYS}u; first < keys.y; first += ${HALF_KEYS}u) {
${eachScore((p, g, n) => `var s${p}${g}_${n} = vec4<f32>();`)}
    {
${range(rounds(ofQ)).map((i) => `var q${i} = vec4<f16>();`).join(" ")} ${
    range(rounds(ofK)).map((i) => `var k${i} = vec4<f16>();`).join(" ")
  }
    var number = 0u;
${readScores}
    while (number < ${depth}u) {
      workgroupBarrier();
${moves(ofQ, (i) => `stage[i / ${LINE}u][i % ${LINE}u] = q${i};`)}
${moves(ofK, (i) => put(`${KEYS_AT}u + i / ${keyQuads}u * ${linesOf(keyQuads)}u`, `(i % ${keyQuads}u)`, `k${i}`))}
      workgroupBarrier();
      number += ${DEPTH}u;
      if (number < ${depth}u) {
${readScores}
      }
${eachScore((p, g, n) => `var h${p}${g}_${n} = vec4<f16>();`)}
${multiplyScores}
${eachScore((p, g, n) => `s${p}${g}_${n} += vec4<f32>(h${p}${g}_${n});`)}
    }
    }
    // The first values are on their way while weights are computed.
${range(rounds(ofV)).map((i) => `var v${i} = vec4<f16>();`).join(" ")}
    var key = 0u;
${readValues}
    let scales = (kv_head * params.k_stride + first) / 4u + tx;
${
    HALVES.map((g) =>
      `let of_key${g} = k_scales[scales + ${8 * g}u];
    let power${g} = bitcast<vec4<u32>>(v_scales[scales + ${8 * g}u]) >> vec4<u32>(23u);
    let of_value${g} = vec4<f32>(power${g}) - 127.0;
    let inverse_of_value${g} = bitcast<vec4<f32>>((254u - power${g}) << vec4<u32>(23u));`
    ).join("\n")
  }
${HALVES.map((p) => `let here${p} = vec4<u32>(first + 4u * tx) - start${p}; // wraps below the range, and is then too large`).join("\n")}
${eachScore((p, g, n) => `s${p}${g}_${n} = fma(s${p}${g}_${n}, factor${p} * of_key${g}.${PARTS[n]}, vec4<f32>(of_value${g}.${PARTS[n]}));`)}
    if (first < keys.z || first + ${HALF_KEYS}u > keys.w) { // not all of these keys are seen by all rows
${eachScore((p, g, n) => `s${p}${g}_${n} = select(vec4<f32>(LOWEST), s${p}${g}_${n}, here${p} + ${32 * g + n}u < seen${p});`)}
    }
${
    HALVES.map((p) =>
      `${overKeys(p, "top", ofThread((g, n) => `s${p}${g}_${n}`), larger)}
    top${p} = max(top${p}, largest${p});
    let fade${p} = exp2(largest${p} - top${p});
    largest${p} = top${p};
    let base${p} = select(top${p}, vec4<f32>(), top${p} == vec4<f32>(LOWEST)); // of a row that has seen no key: 2^(LOWEST - 0) is 0
${ofThread((g, n) => `s${p}${g}_${n} = exp2(s${p}${g}_${n} - base${p});`).join("\n")}
    sum${p} *= fade${p};
${ofThread((g, n) => `sum${p} = fma(s${p}${g}_${n}, vec4<f32>(inverse_of_value${g}.${PARTS[n]}), sum${p});`).join("\n")}`
    ).join("\n")
  }
${eachSum((name, p) => `y${name} *= fade${p};`)}
${
    HALVES.map((g) =>
      range(4).map((n) =>
        `{ let at = ty ^ ((tx & 3u) << 2u) ^ ((tx >> 2u) << 1u); ` +
        HALVES.map((p) => `weights[4u * tx + ${32 * g + n}u][at ^ ${16 * p}u] = vec4<f16>(s${p}${g}_${n});`).join(" ") + " }"
      ).join("\n")
    ).join("\n")
  }
    while (key < ${HALF_KEYS}u) {
      workgroupBarrier();
${moves(ofV, (i) => put(`i / ${vectors}u * ${linesOf(vectors)}u`, `(i % ${vectors}u)`, `v${i}`))}
      workgroupBarrier();
      let here = key;
      let flip = (here / 16u % 2u) << 1u;
      key += ${DEPTH}u;
      if (key < ${HALF_KEYS}u) {
${readValues}
      }
${eachSum((name) => `var h${name} = vec4<f16>();`)}
${multiplyValues}
${eachSum((name) => `y${name} += vec4<f32>(h${name});`)}
    }
  }
${
    HALVES.map((p) =>
      `${overKeys(p, "all", [`sum${p}`], (a, b) => `(${a} + ${b})`)}
  let inverse${p} = select(vec4<f32>(), 1.0 / all${p}, all${p} > vec4<f32>());
${range(4).map((r) => store(p, r)).join("\n")}`
    ).join("\n")
  }
}`;
}
