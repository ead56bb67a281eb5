/**
 * WGSL of attention's backward pass on subgroup matrices (tensor cores): factors are rounded to f16, sums are f32. A workgroup owns some rows of
 * one head, queries or keys, 16 to a pair of subgroups, and walks over tiles of 32 columns, which are keys or queries (FlashAttention-2, Dao 2023,
 * arXiv:2307.08691). The subgroups of a pair, its sides, do the same with other numbers:
 *
 * | | side 0 | side 1 |
 * |---|---|---|
 * | rows are queries: scores | q · kᵀ | dy · vᵀ |
 * | sums | first half of dq += ds · k | second half |
 * | rows are keys: scores | k · qᵀ | v · dyᵀ |
 * | sums | dk += dsᵀ · q | dv += pᵀ · dy |
 *
 * where p = e^(q · k - lse) and ds = p ∘ (dy · v - delta). Between the products weights are computed in f32. Gradients may be of any size, so dy and
 * ds are multiplied by factors that bring their largest numbers near the end of f16's range: norms of the rows of dy and v bound both.
 *
 * The numbers of the next columns are on their way to registers, all at once, while these are multiplied.
 */
import { matrixMain, type MatrixPrimitives, type MatrixProduct, type SumsArray, type SumsPlace } from "../matrix_primitives.ts";
import type { SubgroupMatrixShape } from "../subgroup_matrix.ts";
import { keySides, querySides } from "./backward_sides.ts";
import {
  BACKWARD_COLUMNS as COLUMNS,
  backwardQuads,
  backwardTile,
  PADDING,
  ROWS,
  rowsOfWorkgroup,
  SCORES_STRIDE,
  SIDES,
  WEIGHTS_STRIDE,
} from "./subgroup_matrix_tile.ts";
import { inHalf, OPERANDS_WGSL, range, repeat, tilePlace, vectorsOfRows } from "./text.ts";

/** Options of {@linkcode subgroupMatrixBackward}. */
export interface SubgroupMatrixBackwardOptions {
  /** What rows are: `queries` assigns dq, `keys` dk and dv of one query head. */
  rows: "queries" | "keys";
  /** Numbers of a head, a multiple of 4. */
  headDim: number;
  /** See `AttentionOperands`. */
  causal: boolean;
  /** The adapter's matrices: rows divide 16, columns and depth 16, too. */
  shape: SubgroupMatrixShape;
  /** Lanes of a subgroup, a multiple of 8. */
  lanes: number;
  /** Pairs of subgroups of a workgroup. */
  subgroups: number;
  /** How matrices are computed with. */
  primitives: MatrixPrimitives;
}

/** The largest norm of a row of dy, once it is multiplied. */
const LARGEST_DY = 2 ** 10;
/** The same of ds, of which twice a norm of dy times one of v is a bound. */
const LARGEST_DS = 2 ** 15;
/** Stands for the norm of zeros. */
const SMALLEST = "1e-30";

/** Backward for queries or for keys. Workgroups: see `tilePlace`. */
export function subgroupMatrixBackward(options: SubgroupMatrixBackwardOptions): string {
  const { headDim, shape, lanes, subgroups, primitives } = options;
  const sides = options.rows === "queries" ? querySides(options) : keySides(options);
  const threads = lanes * subgroups * SIDES;
  const rows = rowsOfWorkgroup(subgroups);
  const rowsAtOnce = threads / (COLUMNS / 4);
  const vectors = headDim / 4;
  const quads = backwardQuads(headDim);
  const stride = quads + PADDING;
  const staged = quads / 2; // vectors of a row that are staged at a time
  const sumQuads = sides.apart ? quads : quads / 2; // of a side's sums
  const down = ROWS / shape.rows; // matrices of a side's rows
  const across = 4 * sumQuads / shape.columns; // of its sums' columns
  const steps = 4 * staged / shape.depth; // of half the numbers of a head
  const passes = Math.ceil(4 * sumQuads / COLUMNS); // of the sums through `scores`
  const tile = { tile: "tile", depthInRows: true, stride };
  const scoresOf = [0, 1].map((half): MatrixProduct => ({
    name: `scores_${half}`,
    left: { tile: "tile", depthInRows: true, stride: staged },
    right: tile,
    held: SIDES * rows * staged,
  }));
  const mix: MatrixProduct = {
    name: "mix",
    left: { tile: "weights", depthInRows: true, stride: WEIGHTS_STRIDE },
    right: { ...tile, depthInRows: false },
  };
  const scores: SumsArray = { name: "scores", width: 4 };
  const rowsOfPair = (d: number) => `${ROWS}u * pair + ${d * shape.rows}u`;
  const inScores = (d: number, column: number): SumsPlace => ({
    shape,
    array: scores,
    at: `(side * ${rows}u + ${rowsOfPair(d)}) * ${SCORES_STRIDE}u + ${column / 4}u`,
    stride: SCORES_STRIDE,
  });
  const of = repeat;
  const eachSide = (text: (side: number) => string) => repeat(SIDES, text);
  const load = (side: "left" | "right", name: string, product: MatrixProduct, at: string) =>
    primitives.load(side, name, { shape, product, at });
  const multiplied = (value: string, factor?: string) => inHalf(factor ? `${value} * ${factor}` : value);
  const moves = (count: number, width: number, text: (i: number) => string) => vectorsOfRows({ rows: count, quads: width, threads }, text);
  const stage = (half: number) =>
    eachSide((s) =>
      moves(rows, staged, () =>
        `var value = vec4<f32>();
      if (${half * staged}u + quad < ${vectors}u && first_row + of_row < total) {
        value = ${sides.own[s].binding}[${sides.own[s].place("first_row + of_row")} + ${half * staged}u + quad];
      }
      tile[(${s * rows}u + of_row) * ${staged}u + quad] = ${multiplied("value", sides.own[s].factor)};`)
    );
  // Columns of a tile: from memory to registers, and from there, in f16, to workgroup memory.
  const registers = range(Math.ceil(COLUMNS * quads / threads));
  const inHead = quads > vectors ? `quad < ${vectors}u && ` : "";
  const read = (start: string) =>
    eachSide((s) =>
      moves(COLUMNS, quads, (i) =>
        `next${s}_${i} = vec4<f32>();
      if (${inHead}${start} + of_row < columns.y) { next${s}_${i} = ${sides.others[s].binding}[${
          sides.others[s].place(`${start} + of_row`)
        } + quad]; }`)
    );
  const put = eachSide((s) =>
    moves(
      COLUMNS,
      quads,
      (i) => `tile[(${s * COLUMNS}u + of_row) * ${stride}u + quad] = ${multiplied(`next${s}_${i}`, sides.others[s].factor)};`,
    )
  );
  const scoreOf = (side: number) => `scores[(${side * rows}u + row) * ${SCORES_STRIDE}u + four]`;
  const eachRow = (text: string) =>
    of(Math.ceil(rows / rowsAtOnce), (i) => {
      const guard = (i + 1) * rowsAtOnce > rows ? `if (row < ${rows}u) ` : "";
      return `    { let row = thread / ${COLUMNS / 4}u + ${i * rowsAtOnce}u; ${guard}{\n${text}\n} }`;
    });
  return `enable f16; ${primitives.directives}
${OPERANDS_WGSL}
@group(0) @binding(5) var<storage, read> dy: array<vec4<f32>>; // (rows, heads · headDim)
@group(0) @binding(6) var<storage, read> of_rows: array<vec4<u32>>; // (rows, heads): range of keys, bits of lse in powers of two, bits of delta
@group(0) @binding(7) var<storage, read> norms: array<f32>; // of dy (rows, heads), of v (keys, kvHeads)
${sides.bindings}
fn y_place(row: u32, head: u32) -> u32 { return row * params.heads + head; }
fn weight_place(row: u32) -> u32 { return row * ${WEIGHTS_STRIDE}u; }
var<workgroup> tile: array<vec4<f16>, ${backwardTile({ headDim, subgroups })}>; // of sides: a half of own rows; then columns
var<workgroup> scores: array<vec4<f32>, ${SIDES * rows * SCORES_STRIDE}>; // of sides: [row][column / 4]
var<workgroup> weights: array<vec4<f16>, ${(sides.apart ? SIDES : 1) * rows * WEIGHTS_STRIDE}>; // the same
${sides.memory}
var<workgroup> most: array<atomic<u32>, 4>; // the largest of what the next four lines say
const FROM_END = 0u; // of where columns begin, counted down
const TO_END = 1u; // of where they end
const OWN_NORM = 2u; // as bits: those of positive numbers are in order
const OTHER_NORM = 3u;
var<workgroup> span: vec4<u32>;
${primitives.declarations({ shape, lanes, products: [...scoresOf, mix], arrays: [scores] })}

${matrixMain(threads, primitives)}
  let four = thread % ${COLUMNS / 4}u; // columns 4 · four … of rows thread / ${COLUMNS / 4}, … are an invocation's
  let side = subgroup % ${SIDES}u;
  let pair = subgroup / ${SIDES}u;
  ${tilePlace({ rows: sides.rows, tile: rows, causal: options.causal })}
  let total = ${sides.total};
  for (var i = thread; i < ${rows}u; i += ${threads}u) {
    let row = min(first_row + i, total - 1u);
    let range = ${sides.ranges}[row];
    let end = min(range.y, ${sides.columns});
    let seen = select(0u, end - range.x, end > range.x && first_row + i < total);
    ${sides.readRow}
    if (seen > 0u) {
      atomicMax(&most[FROM_END], 0xffffffffu - range.x);
      atomicMax(&most[TO_END], end);
      atomicMax(&most[OWN_NORM], bitcast<u32>(${sides.ownNorm}));
    }
  }
  workgroupBarrier();
  if (thread == 0u) { span = vec4<u32>(0xffffffffu - atomicLoad(&most[FROM_END]), atomicLoad(&most[TO_END]), 0u, 0u); }
  let columns = workgroupUniformLoad(&span);
  var largest = 0.0;
  for (var i = columns.x + thread; i < columns.y; i += ${threads}u) {
    if (${sides.counts}) { largest = max(largest, ${sides.otherNorm}); }
  }
  atomicMax(&most[OTHER_NORM], bitcast<u32>(largest));
  workgroupBarrier();
  let dy_factor = ${LARGEST_DY}.0 / max(bitcast<f32>(atomicLoad(&most[${sides.dyNorm}])), ${SMALLEST});
  let ds_factor = ${LARGEST_DS / 2 / LARGEST_DY}.0 / max(bitcast<f32>(atomicLoad(&most[${
    sides.dyNorm === "OWN_NORM" ? "OTHER_NORM" : "OWN_NORM"
  }])), ${SMALLEST});
${
    of(2, (half) =>
      `${stage(half)}
  workgroupBarrier();
${
        of(down, (d) =>
          of(steps, (i) =>
            load(
              "left",
              `own${d}_${half}_${i}`,
              scoresOf[half],
              `(side * ${rows}u + ${rowsOfPair(d)}) * ${staged}u + ${i * shape.depth / 4}u`,
            )))
      }
  workgroupBarrier();`)
  }
${of(down, (d) => of(across, (j) => primitives.sums(`sum${d}_${j}`, shape)))}
${eachSide((s) => registers.map((i) => `var next${s}_${i} = vec4<f32>();`).join(" "))}
${read("columns.x")}
  for (var first = columns.x; first < columns.y; first += ${COLUMNS}u) {
${put}
${sides.readColumns}
    if (first + ${COLUMNS}u < columns.y) {
${read(`first + ${COLUMNS}u`)}
    }
    workgroupBarrier();
${
    of(COLUMNS / shape.columns, (j) => {
      const at = (half: number, i: number) =>
        `side * ${COLUMNS * stride}u + ${j * shape.columns * stride + half * staged + i * shape.depth / 4}u`;
      return `    {
${of(down, (d) => primitives.sums(`s${d}`, shape))}
${
        of(2, (half) =>
          of(steps, (i) =>
            `{ ${load("right", "part", scoresOf[half], at(half, i))}
${of(down, (d) => primitives.multiply(`s${d}`, scoresOf[half], { left: `own${d}_${half}_${i}`, right: "part" }))} }`))
      }
${of(down, (d) => primitives.store(`s${d}`, inScores(d, j * shape.columns)))}
    }`;
    })
  }
    workgroupBarrier();
${eachRow(`let s = ${scoreOf(0)}; let d = ${scoreOf(1)};\n${sides.weights}`)}
    workgroupBarrier();
${
    of(COLUMNS / shape.depth, (i) => {
      const ofSide = sides.apart ? `side * ${rows}u + ` : "";
      const left = (d: number) => `(${ofSide}${rowsOfPair(d)}) * ${WEIGHTS_STRIDE}u + ${i * shape.depth / 4}u`;
      const right = (j: number) =>
        `side * ${sides.apart ? COLUMNS * stride : sumQuads}u + ${i * shape.depth * stride + j * shape.columns / 4}u`;
      return `    {
${of(down, (d) => load("left", `p${d}`, mix, left(d)))}
${
        of(across, (j) =>
          `{ ${load("right", "part", mix, right(j))}
${of(down, (d) => primitives.multiply(`sum${d}_${j}`, mix, { left: `p${d}`, right: "part" }))} }`)
      }
    }`;
    })
  }
    workgroupBarrier();
  }
${
    of(passes, (pass) => {
      const inPass = range(across).filter((j) => Math.floor(j * shape.columns / COLUMNS) === pass);
      const first = (s: number) => pass * COLUMNS / 4 + (sides.apart ? 0 : s * sumQuads);
      const end = (s: number) => sides.apart ? vectors : Math.min((s + 1) * sumQuads, vectors);
      const stores = eachSide((s) =>
        `{ let quad = ${first(s)}u + four; if (quad < ${end(s)}u) { ${sides.results[s]} = ${scoreOf(s)} * (${sides.factors[s]}); } }`
      );
      return `${of(down, (d) => inPass.map((j) => primitives.store(`sum${d}_${j}`, inScores(d, j * shape.columns % COLUMNS))).join("\n"))}
  workgroupBarrier();
${eachRow(`if (first_row + row < total) {\n${stores}\n}`)}
  workgroupBarrier();`;
    })
  }
}`;
}
