/**
 * WGSL of attention's forward pass on subgroup matrices (tensor cores): factors are rounded to f16, sums are f32. A workgroup owns some rows of
 * one head, 16 to a subgroup, and walks over tiles of 32 keys (FlashAttention-2, Dao 2023, arXiv:2307.08691):
 * 1. scores (16, 32) of a subgroup = q · kᵀ, written to workgroup memory
 * 2. weights = 2^(score - largest), in f16. Sums of matrices cannot be scaled row by row where they are, so a row's `largest` is raised, and its
 *    sums by way of workgroup memory, only when a score is more than 2^RISE times beyond it: weights stay below 2^RISE
 * 3. sums (16, headDim) += weights · v
 *
 * The scores of a tile of keys are computed together with the sums of the tile before: matrices that do not wait for each other, and one time in
 * turn with the weights. Meanwhile the keys and values that come next, f16 from `centred_keys_f16.wgsl`, are on their way to registers. Tiles are
 * small, so that several workgroups fit on a core and one computes while another waits.
 */
import { matrixMain, type MatrixPrimitives, type MatrixProduct, type SumsArray, type SumsPlace } from "../matrix_primitives.ts";
import type { SubgroupMatrixShape } from "../subgroup_matrix.ts";
import { flagsOf, KEYS, paddedQuads, PADDING, ROWS, rowsOfWorkgroup, STRIDE, tileVectors } from "./subgroup_matrix_tile.ts";
import { inHalf, PARAMS_WGSL, range, repeat, SPAN_WGSL, tilePlace, vectorsOfRows } from "./text.ts";

/** log2 of how far a score may lie beyond the largest one that counts. */
const RISE = 8;

/** Options of {@linkcode subgroupMatrixForward}. */
export interface SubgroupMatrixForwardOptions {
  /** Numbers of a head, a multiple of 4. */
  headDim: number;
  /** Whether `lse` is written. */
  lse: boolean;
  /** See `AttentionOperands`. */
  causal: boolean;
  /** The adapter's matrices: rows divide 16, columns and depth 16, too. */
  shape: SubgroupMatrixShape;
  /** Lanes of a subgroup, a power of two. */
  lanes: number;
  /** Subgroups of a workgroup. */
  subgroups: number;
  /** How matrices are computed with. */
  primitives: MatrixPrimitives;
}

/** Forward: q f32, k and v in f16, ranges → y and, where asked for, lse. Workgroups: see `tilePlace`. */
export function subgroupMatrixForward(options: SubgroupMatrixForwardOptions): string {
  const { headDim, causal, shape, lanes, subgroups, primitives } = options;
  const threads = lanes * subgroups;
  const rows = rowsOfWorkgroup(subgroups);
  const vectors = headDim / 4;
  const quads = paddedQuads(headDim);
  const stride = quads + PADDING;
  const down = ROWS / shape.rows; // matrices of a subgroup's rows
  const across = 4 * quads / shape.columns; // of the sums' columns
  const steps = 4 * quads / shape.depth; // of the numbers of a head
  const tile = { tile: "tile", stride };
  const values = `${KEYS * stride}u`; // where they begin in the tile
  const passes = Math.ceil(4 * quads / KEYS); // queries pass through `weights`, sums through `scores`, a tile's columns at a time
  const qk: MatrixProduct = {
    name: "qk",
    left: { tile: "weights", depthInRows: true, stride: STRIDE },
    right: { ...tile, depthInRows: true },
    held: passes * rows * STRIDE,
  };
  const pv: MatrixProduct = {
    name: "pv",
    left: { tile: "weights", depthInRows: true, stride: STRIDE },
    right: { ...tile, depthInRows: false },
  };
  const scores: SumsArray = { name: "scores", width: 4 };
  const inScores = (d: number, column: number): SumsPlace => ({
    shape,
    array: scores,
    at: `(${ROWS}u * subgroup + ${d * shape.rows}u) * ${STRIDE}u + ${column / 4}u`,
    stride: STRIDE,
  });
  const of = (count: number, text: (i: number) => string) => repeat(count, text);
  // Rows of keys or values, eight numbers at a time: from memory to registers, and from there to workgroup memory.
  const moves = (text: (i: number) => string) => vectorsOfRows({ rows: KEYS, quads: quads / 2, threads }, text);
  // Behind the last key that is seen, that one again: its scores do not count there. So nothing depends on where the keys end.
  const read = (name: "k" | "v", start: string) =>
    moves((i) => `${name}${i} = ${name}[(kv_head * params.keys + min(${start} + of_row, keys.y - 1u)) * ${quads / 2}u + quad];`);
  const put = (name: "k" | "v") =>
    moves((i) =>
      `let at_tile = ${name === "k" ? "" : `${values} + `}of_row * ${stride}u + 2u * quad;
      tile[at_tile] = halves(${name}${i}.xy); tile[at_tile + 1u] = halves(${name}${i}.zw);`
    );
  // Some columns of the queries, to workgroup memory and from there to the subgroups that own their rows.
  const putQueries = (pass: number) =>
    vectorsOfRows({ rows, quads: Math.min(KEYS / 4, quads - pass * KEYS / 4), threads }, () =>
      `let number = ${pass * KEYS / 4}u + quad;
      var value = vec4<f32>(0.0);
      if (number < ${vectors}u) {
        value = q[params.q_offset + min(first_row + of_row, params.rows - 1u) * params.q_stride + head * ${vectors}u + number] * (params.scale * LOG2E);
      }
      weights[of_row * ${STRIDE}u + quad] = ${inHalf("value")};`);
  const takeQueries = (pass: number) =>
    of(down, (d) =>
      range(steps).filter((k) => Math.floor(k * shape.depth / KEYS) === pass).map((k) => {
        const at = `(${ROWS}u * subgroup + ${d * shape.rows}u) * ${STRIDE}u + ${k * shape.depth % KEYS / 4}u`;
        return primitives.load("left", `q${d}_${k}`, { shape, product: qk, at, heldAt: `${pass * rows * STRIDE}u + ${at}` });
      }).join("\n"));
  const registers = (name: string) => range(Math.ceil(KEYS * quads / 2 / threads)).map((i) => `var ${name}${i} = vec4<u32>();`).join(" ");
  // A lane has some of the keys of its rows, every perRow-th four of them.
  const perRow = Math.max(1, lanes / ROWS);
  const rowsOfLane = ROWS * perRow / lanes;
  const overLanes = (value: string, fold: (a: string, b: string) => string) =>
    range(Math.log2(perRow)).map((bit) => `${value} = ${fold(value, `subgroupShuffleXor(${value}, ${2 ** bit}u)`)};`).join(" ");
  const ofLane = (text: (n: number) => string) => of(rowsOfLane, text);
  const foursOfLane = range(KEYS / 4 / perRow);
  const eachFour = (text: (f: number) => string) => foursOfLane.map((f) => `{ let quad = part + ${f * perRow}u; ${text(f)} }`).join("\n");
  const inside = (n: number) => `vec4<u32>(first + 4u * quad) + vec4<u32>(0u, 1u, 2u, 3u) - start${n} < vec4<u32>(seen${n})`;
  const score = (n: number) => `scores[row${n} * ${STRIDE}u + quad]`;
  const inPass = (pass: number, text: (d: number, j: number) => string) =>
    of(down, (d) => range(across).filter((j) => Math.floor(j * shape.columns / KEYS) === pass).map((j) => text(d, j)).join("\n"));
  const sumsOf = (pass: number, text: "store" | "restore") =>
    inPass(pass, (d, j) => primitives[text](`y${d}_${j}`, inScores(d, j * shape.columns % KEYS)));
  const eachScores = (text: (d: number, j: number) => string) => of(down, (d) => of(KEYS / shape.columns, (j) => text(d, j)));
  // Scores of the keys in the tile, and what is computed beside them before they are written.
  const computeScores = (beside = "") =>
    `{
${eachScores((d, j) => primitives.sums(`c${d}_${j}`, shape))}
${
      of(steps, (k) =>
        of(KEYS / shape.columns, (j) =>
          `{ ${primitives.load("right", "k_part", { shape, product: qk, at: `${j * shape.columns * stride + k * shape.depth / 4}u` })}\n${
            of(down, (d) => primitives.multiply(`c${d}_${j}`, qk, { left: `q${d}_${k}`, right: "k_part" }))
          } }`))
    }
${beside}
${eachScores((d, j) => primitives.store(`c${d}_${j}`, inScores(d, j * shape.columns)))}
    }`;
  const addValues = of(KEYS / shape.depth, (k) =>
    `{
${
      of(down, (d) =>
        primitives.load("left", `p${d}`, {
          shape,
          product: pv,
          at: `(${ROWS}u * subgroup + ${d * shape.rows}u) * ${STRIDE}u + ${k * shape.depth / 4}u`,
        }))
    }
${
      of(across, (j) =>
        `{ ${
          primitives.load("right", "v_part", { shape, product: pv, at: `${values} + ${k * shape.depth * stride + j * shape.columns / 4}u` })
        }\n${of(down, (d) => primitives.multiply(`y${d}_${j}`, pv, { left: `p${d}`, right: "v_part" }))} }`)
    }
    }`);
  return `enable f16; ${primitives.directives}
${PARAMS_WGSL}
@group(0) @binding(1) var<storage, read> q: array<vec4<f32>>; // (rows, heads · headDim)
@group(0) @binding(2) var<storage, read> k: array<vec4<u32>>; // (kvHeads, keys, headDim filled up / 8), eight f16
@group(0) @binding(3) var<storage, read> v: array<vec4<u32>>;
@group(0) @binding(5) var<storage, read_write> y: array<vec4<f32>>; // (rows, heads · headDim)
${options.lse ? "@group(0) @binding(6) var<storage, read_write> lse: array<f32>; // (rows, heads)" : ""}
const RISE: f32 = ${RISE}.0;
var<workgroup> tile: array<vec4<f16>, ${tileVectors(headDim)}>; // keys, and values behind them: [row][number / 4]
var<workgroup> weights: array<vec4<f16>, ${rows * STRIDE}>; // [row][key / 4]; before that queries: [row][some numbers / 4]
var<workgroup> scores: array<vec4<f32>, ${rows * STRIDE}>; // [row][key / 4]
var<workgroup> raised: array<u32, ${flagsOf(subgroups)}>; // whether a row of a subgroup has raised its \`largest\`
${SPAN_WGSL}
${primitives.halves}
${primitives.declarations({ shape, lanes, products: [qk, pv], arrays: [scores] })}

${matrixMain(threads, primitives)}
  let part = lane % ${perRow}u;
  ${tilePlace({ rows: "queries", tile: rows, causal })}
${
    ofLane((n) =>
      `  let row${n} = ${ROWS}u * subgroup + lane / ${perRow}u + ${n * lanes / perRow}u;
  var start${n} = 0u; var seen${n} = 0u; // first key of a row, and how many
  var largest${n} = LOWEST; // what the row's weights are relative to
  var sum${n} = 0.0; // of the lane's part of them
  if (first_row + row${n} < params.rows) {
    let own = ranges[first_row + row${n}];
    let end = min(own.y, params.keys);
    start${n} = own.x;
    if (end > own.x) { seen${n} = end - own.x; }
    note_keys(own.x, end);
  }`
    )
  }
${putQueries(0)}
  workgroupBarrier();
  if (thread == 0u) { span = noted_keys(); }
  let keys = workgroupUniformLoad(&span);
${takeQueries(0)}
${
    range(passes).slice(1).map((pass) =>
      `  workgroupBarrier();
${putQueries(pass)}
  workgroupBarrier();
${takeQueries(pass)}`
    ).join("\n")
  }
${of(down, (d) => of(across, (j) => primitives.sums(`y${d}_${j}`, shape)))}
${registers("k")} ${registers("v")}
  if (keys.x < keys.y) { // otherwise no row sees a key
${read("k", "keys.x")}
  workgroupBarrier();
${put("k")}
${read("v", "keys.x")}
${read("k", `keys.x + ${KEYS}u`)}
  workgroupBarrier();
${computeScores()}
  workgroupBarrier();
  for (var first = keys.x; first < keys.y; first += ${KEYS}u) {
${put("k")}
${put("v")}
    let whole = first >= keys.z && first + ${KEYS}u <= keys.w; // all of these keys are seen by all rows
${
    ofLane((n) =>
      `    var top${n} = LOWEST;
${foursOfLane.map((f) => `var s${n}_${f} = vec4<f32>();`).join(" ")}
${eachFour((f) => `s${n}_${f} = ${score(n)};`)}
    if (!whole) {
${eachFour((f) => `s${n}_${f} = select(vec4<f32>(LOWEST), s${n}_${f}, ${inside(n)});`)}
    }
${foursOfLane.map((f) => `top${n} = max(top${n}, max(max(s${n}_${f}.x, s${n}_${f}.y), max(s${n}_${f}.z, s${n}_${f}.w)));`).join("\n")}
    ${overLanes(`top${n}`, (a, b) => `max(${a}, ${b})`)}
    let before${n} = largest${n};
    if (top${n} > before${n} + RISE) { largest${n} = top${n}; }
    let fade${n} = exp2(before${n} - largest${n});
    { let base = select(largest${n}, 0.0, largest${n} == LOWEST); // of a row that has seen no key: 2^(LOWEST - 0) is 0
    var sum = 0.0;
${
        eachFour((f) =>
          `let p = exp2(s${n}_${f} - base); ` +
          `sum += (p.x + p.y) + (p.z + p.w); weights[row${n} * ${STRIDE}u + quad] = vec4<f16>(p);`
        )
      }
    sum${n} = fma(sum${n}, fade${n}, sum); }`
    )
  }
${read("v", `first + ${KEYS}u`)}
${read("k", `first + ${2 * KEYS}u`)}
    ${primitives.raise("raised[subgroup]", range(rowsOfLane).map((n) => `(largest${n} > before${n} && before${n} > LOWEST)`).join(" || "))}
    let flags = workgroupUniformLoad(&raised);
    if ((${range(flagsOf(subgroups)).map((i) => `flags[${i}]`).join(" | ")}) != 0u) {
${
    of(passes, (pass) =>
      `${sumsOf(pass, "store")}
      workgroupBarrier();
${ofLane((n) => eachFour(() => `${score(n)} *= fade${n};`))}
      workgroupBarrier();
${sumsOf(pass, "restore")}
      workgroupBarrier();`)
  }
    }
    if (lane == 0u) { raised[subgroup] = 0u; }
    // What follows the last tile are scores of keys that nobody asks for.
${computeScores(addValues)}
    workgroupBarrier();
  }
  }
${ofLane((n) => `${overLanes(`sum${n}`, (a, b) => `${a} + ${b}`)} let scale${n} = select(0.0, 1.0 / sum${n}, sum${n} > 0.0);`)}
${
    of(passes, (pass) =>
      `${sumsOf(pass, "store")}
  workgroupBarrier();
${
        ofLane((n) =>
          `  if (first_row + row${n} < params.rows) {
    let at = ((first_row + row${n}) * params.heads + head) * ${vectors}u + ${pass * KEYS / 4}u;
${eachFour(() => `if (${pass * KEYS / 4}u + quad < ${vectors}u) { y[at + quad] = ${score(n)} * scale${n}; }`)}
  }`
        )
      }
${pass + 1 < passes ? "  workgroupBarrier();" : ""}`)
  }
${
    options.lse
      ? ofLane((n) =>
        `  if (part == 0u && first_row + row${n} < params.rows) { lse[(first_row + row${n}) * params.heads + head] = log_sum_exp(largest${n}, sum${n}); }`
      )
      : ""
  }
}`;
}
