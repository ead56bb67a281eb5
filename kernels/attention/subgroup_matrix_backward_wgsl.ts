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
import type { MatrixPrimitives, MatrixProduct, SumsArray, SumsPlace } from "../matrix_primitives.ts";
import type { SubgroupMatrixShape } from "../subgroup_matrix.ts";
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
import { OPERANDS_WGSL, range, repeat } from "./text.ts";

/** Options of {@linkcode subgroupMatrixBackward}. */
export interface SubgroupMatrixBackwardOptions {
  /** What rows are: `query` assigns dq, `key` dk and dv of one query head. */
  rows: "query" | "key";
  /** Numbers of a head, a multiple of 4. */
  headDim: number;
  /** The adapter's matrices: rows divide 16, columns and depth 16, too. */
  shape: SubgroupMatrixShape;
  /** Lanes of a subgroup. */
  lanes: number;
  /** Pairs of subgroups of a workgroup. */
  subgroups: number;
  /** How matrices are computed with. */
  primitives: MatrixPrimitives;
}

/** dy gets norms up to this. */
const LARGEST_DY = 2 ** 10;
/** ds is at most this: twice a norm of dy times one of v. */
const LARGEST_DS = 2 ** 15;
/** What p is multiplied by: sums of many rows have small weights. */
const WEIGHT_UNIT = 2 ** 10;
/** Stands for the norm of zeros. */
const SMALLEST = "1e-30";

/** Rows that a place of a binding is computed for. */
interface Operand {
  binding: string;
  place: (row: string) => string;
  /** What the values are multiplied by. */
  factor?: string;
}

/** Backward for queries or for keys. Workgroups: tiles of rows, query heads. */
export function subgroupMatrixBackward(options: SubgroupMatrixBackwardOptions): string {
  const { headDim, shape, lanes, subgroups, primitives } = options;
  const query = options.rows === "query";
  const threads = lanes * subgroups * SIDES;
  const rows = rowsOfWorkgroup(subgroups);
  const vectors = headDim / 4;
  const quads = backwardQuads(headDim);
  const stride = quads + PADDING;
  const staged = quads / 2; // vectors of a row that are staged at a time
  const sumQuads = query ? quads / 2 : quads; // of a side's sums
  const down = ROWS / shape.rows; // matrices of a side's rows
  const across = 4 * sumQuads / shape.columns; // of its sums' columns
  const steps = 4 * staged / shape.depth; // of half the numbers of a head
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
  const rowsOfSide = `${ROWS}u * pair`;
  const inScores = (d: number, column: number): SumsPlace => ({
    shape,
    array: scores,
    at: `(side * ${rows}u + ${rowsOfSide} + ${d * shape.rows}u) * ${SCORES_STRIDE}u + ${column / 4}u`,
    stride: SCORES_STRIDE,
  });
  const of = (count: number, text: (i: number) => string) => repeat(count, text);
  const load = (side: "left" | "right", name: string, product: MatrixProduct, at: string) =>
    primitives.load(side, name, { shape, product, at });

  const operands: Record<"q" | "k" | "v" | "dy", Operand> = {
    q: { binding: "q", place: (row) => `q_place(${row}) + head * ${vectors}u`, factor: "(params.scale * LOG2E)" },
    k: { binding: "k", place: (row) => `k_place(${row}) + kv_head * ${vectors}u` },
    v: { binding: "v", place: (row) => `v_place(${row}) + kv_head * ${vectors}u` },
    dy: { binding: "dy", place: (row) => `y_place(${row}, head) * ${vectors}u`, factor: "dy_factor" },
  };
  const { q, k, v, dy } = operands;
  const [own, others] = query ? [[q, dy], [k, v]] : [[k, v], [q, dy]];
  const rowsAtOnce = threads / (COLUMNS / 4);
  const ofSides = (text: (side: number) => string) => of(SIDES, text);
  // An invocation's share of `count` rows of `width` vectors.
  const moves = (count: number, width: number, text: (i: number) => string) =>
    repeat(Math.ceil(count * width / threads), (i) => {
      const guard = (i + 1) * threads > count * width ? `if (at < ${count * width}u) ` : "";
      return `{ let at = thread + ${i * threads}u; let of_row = at / ${width}u; let quad = at % ${width}u; ${guard}{ ${text(i)} } }`;
    });
  const clamped = (value: string, { factor }: Pick<Operand, "factor"> = {}) =>
    `vec4<f16>(clamp(${factor ? `${value} * ${factor}` : value}, vec4<f32>(-65504.0), vec4<f32>(65504.0)))`;
  const inHead = quads > vectors ? `quad < ${vectors}u && ` : "";
  const registers = range(Math.ceil(COLUMNS * quads / threads));
  const read = (start: string) =>
    ofSides((s) =>
      moves(COLUMNS, quads, (i) =>
        `next${s}_${i} = vec4<f32>();
      if (${inHead}${start} + of_row < columns.y) { next${s}_${i} = ${others[s].binding}[${
          others[s].place(`${start} + of_row`)
        } + quad]; }`)
    );
  const put = ofSides((s) =>
    moves(COLUMNS, quads, (i) => `tile[(${s * COLUMNS}u + of_row) * ${stride}u + quad] = ${clamped(`next${s}_${i}`, others[s])};`)
  );
  const stage = (half: number) =>
    ofSides((s) =>
      moves(rows, staged, () =>
        `var value = vec4<f32>();
      if (${half * staged}u + quad < ${vectors}u && first_row + of_row < total) {
        value = ${own[s].binding}[${own[s].place("first_row + of_row")} + ${half * staged}u + quad];
      }
      tile[(${s * rows}u + of_row) * ${staged}u + quad] = ${clamped("value", own[s])};`)
    );
  const scoresAt = (side: string) => `scores[(${side} * ${rows}u + row) * ${SCORES_STRIDE}u + four]`;
  const weightsAt = (side: number) => `weights[(${side * rows}u + row) * ${WEIGHTS_STRIDE}u + four]`;
  const columnValues = (part: string) => `bitcast<vec4<f32>>(vec4<u32>(${range(4).map((n) => `column${n}.${part}`).join(", ")}))`;
  const columnEnds = (part: string) => `vec4<u32>(${range(4).map((n) => `column${n}.${part}`).join(", ")})`;
  // What the kernel knows of each row, or of each of an invocation's columns.
  const readRow = query ? "let of_row = of_rows[y_place(row, head)]; rows_seen[i] = vec4<u32>(of_row.x, seen, of_row.zw);" : "";
  const readColumns = query ? "" : repeat(4, (n) =>
    `var column${n} = vec4<u32>();
    if (first + 4u * four + ${n}u < columns.y) { column${n} = of_rows[y_place(first + 4u * four + ${n}u, head)]; }`);
  const weights = query
    ? `let own = rows_seen[row];
      let here = vec4<u32>(first + 4u * four) + vec4<u32>(0u, 1u, 2u, 3u) - own.x < vec4<u32>(own.y); // wraps below the range
      let p = exp2(${scoresAt("0u")} - bitcast<f32>(own.z));
      let ds = select(vec4<f32>(), p * (${scoresAt("1u")} - bitcast<f32>(own.w) * dy_factor) * ds_factor, here);
      ${weightsAt(0)} = ${clamped("ds")};`
    : `let key = vec4<u32>(first_row + row);
      let here = (key >= ${columnEnds("x")}) & (key < ${columnEnds("y")});
      let p = select(vec4<f32>(), exp2(${scoresAt("0u")} - ${columnValues("z")}), here);
      let ds = select(vec4<f32>(), p * (${scoresAt("1u")} - ${columnValues("w")} * dy_factor) * ds_factor, here);
      ${weightsAt(0)} = ${clamped("ds")};
      ${weightsAt(1)} = ${clamped(`p * ${WEIGHT_UNIT}.0`)};`;
  const dyNorm = (row: string) => `norms[y_place(${row}, head)]`;
  const vNorm = (key: string) => `norms[params.rows * params.heads + ${key} * params.kv_heads + kv_head]`;
  const norm = query
    ? { ownNorm: dyNorm("row"), otherNorm: vNorm("i"), seen: "true", dy: "own_norm", v: "other_norm" }
    : { ownNorm: vNorm("row"), otherNorm: dyNorm("i"), seen: "ranges[i].y > ranges[i].x", dy: "other_norm", v: "own_norm" };
  const factor = (side: number) =>
    query
      ? "params.scale / (dy_factor * ds_factor)"
      : side === 0
      ? "1.0 / (LOG2E * dy_factor * ds_factor)"
      : `1.0 / (${WEIGHT_UNIT}.0 * dy_factor)`;
  const result = (side: number) =>
    query
      ? `dq[dq_place(first_row + row) + head * ${vectors}u + quad]`
      : `dkv[${side === 0 ? "dk_place" : "dv_place"}(first_row + row) + head * ${vectors}u + quad]`;
  const passes = Math.ceil(4 * sumQuads / COLUMNS); // the sums pass through `scores`
  return `enable f16; ${primitives.directives}
${OPERANDS_WGSL}
@group(0) @binding(5) var<storage, read> dy: array<vec4<f32>>; // (rows, heads · headDim)
@group(0) @binding(6) var<storage, read> of_rows: array<vec4<u32>>; // (rows, heads): range of keys, bits of lse in powers of two, bits of delta
@group(0) @binding(7) var<storage, read> norms: array<f32>; // of dy (rows, heads), of v (keys, kvHeads)
${
    query
      ? "@group(0) @binding(8) var<storage, read_write> dq: array<vec4<f32>>; // (rows, heads · headDim)"
      : `@group(0) @binding(8) var<storage, read> key_ranges: array<vec2<u32>>; // (keys): rows that may see a key
@group(0) @binding(9) var<storage, read_write> dkv: array<vec4<f32>>; // of every query head`
  }
fn y_place(row: u32, head: u32) -> u32 { return row * params.heads + head; }
var<workgroup> tile: array<vec4<f16>, ${backwardTile({ headDim, subgroups })}>; // of sides: a half of own rows; then columns
var<workgroup> scores: array<vec4<f32>, ${SIDES * rows * SCORES_STRIDE}>; // of sides: [row][column / 4]
var<workgroup> weights: array<vec4<f16>, ${(query ? 1 : SIDES) * rows * WEIGHTS_STRIDE}>; // the same
${query ? `var<workgroup> rows_seen: array<vec4<u32>, ${rows}>; // as of_rows, with a count of keys` : ""}
var<workgroup> from_end: atomic<u32>;
var<workgroup> to_end: atomic<u32>;
var<workgroup> span: vec2<u32>;
var<workgroup> own_norm: atomic<u32>; // the largest, as bits: those of positive numbers are in order
var<workgroup> other_norm: atomic<u32>;
${primitives.declarations({ shape, lanes, products: [...scoresOf, mix], arrays: [scores] })}

@compute @workgroup_size(${threads})
fn main(
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(num_workgroups) groups: vec3<u32>,
  @builtin(local_invocation_index) thread: u32,
  ${primitives.place.parameters}
) {
  ${primitives.place.statements}
  let four = thread % ${COLUMNS / 4}u; // columns 4 · four … of rows thread / ${COLUMNS / 4}, … are an invocation's
  let side = subgroup % ${SIDES}u;
  let pair = subgroup / ${SIDES}u;
  let head = group.y;
  let kv_head = head / (params.heads / params.kv_heads);
  let total = ${query ? "params.rows" : "params.keys"};
  let first_row = ${
    query ? "(groups.x - 1u - group.x)" : "group.x"
  } * ${rows}u; // causal attention gives the most to do to late queries, early keys
  for (var i = thread; i < ${rows}u; i += ${threads}u) {
    let row = min(first_row + i, total - 1u);
    let range = ${query ? "ranges" : "key_ranges"}[row];
    let end = min(range.y, ${query ? "params.keys" : "params.rows"});
    let seen = select(0u, end - range.x, end > range.x && first_row + i < total);
    ${readRow}
    if (seen > 0u) {
      atomicMax(&from_end, 0xffffffffu - range.x);
      atomicMax(&to_end, end);
      atomicMax(&own_norm, bitcast<u32>(${norm.ownNorm}));
    }
  }
  workgroupBarrier();
  if (thread == 0u) { span = vec2<u32>(0xffffffffu - atomicLoad(&from_end), atomicLoad(&to_end)); }
  let columns = workgroupUniformLoad(&span);
  var largest = 0.0;
  for (var i = columns.x + thread; i < columns.y; i += ${threads}u) {
    if (${norm.seen}) { largest = max(largest, ${norm.otherNorm}); }
  }
  atomicMax(&other_norm, bitcast<u32>(largest));
  workgroupBarrier();
  let dy_factor = ${LARGEST_DY}.0 / max(bitcast<f32>(atomicLoad(&${norm.dy})), ${SMALLEST});
  let ds_factor = ${LARGEST_DS / 2 / LARGEST_DY}.0 / max(bitcast<f32>(atomicLoad(&${norm.v})), ${SMALLEST});
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
              `(side * ${rows}u + ${rowsOfSide} + ${d * shape.rows}u) * ${staged}u + ${i * shape.depth / 4}u`,
            )))
      }
  workgroupBarrier();`)
  }
${of(down, (d) => of(across, (j) => primitives.sums(`sum${d}_${j}`, shape)))}
${ofSides((s) => registers.map((i) => `var next${s}_${i} = vec4<f32>();`).join(" "))}
${read("columns.x")}
  for (var first = columns.x; first < columns.y; first += ${COLUMNS}u) {
${put}
${readColumns}
    if (first + ${COLUMNS}u < columns.y) {
${read(`first + ${COLUMNS}u`)}
    }
    workgroupBarrier();
${
    of(COLUMNS / shape.columns, (j) =>
      `    {
${of(down, (d) => primitives.sums(`s${d}`, shape))}
${
        of(2, (half) =>
          of(steps, (i) =>
            `{ ${
              load(
                "right",
                "part",
                scoresOf[half],
                `side * ${COLUMNS * stride}u + ${j * shape.columns * stride + half * staged + i * shape.depth / 4}u`,
              )
            }
${of(down, (d) => primitives.multiply(`s${d}`, scoresOf[half], { left: `own${d}_${half}_${i}`, right: "part" }))} }`))
      }
${of(down, (d) => primitives.store(`s${d}`, inScores(d, j * shape.columns)))}
    }`)
  }
    workgroupBarrier();
${
    repeat(Math.ceil(rows / rowsAtOnce), (i) => {
      const row = `thread / ${COLUMNS / 4}u + ${i * rowsAtOnce}u`;
      const guard = (i + 1) * rowsAtOnce > rows ? `if (row < ${rows}u) ` : "";
      return `    { let row = ${row}; ${guard}{
      ${weights}
    } }`;
    })
  }
    workgroupBarrier();
${
    of(COLUMNS / shape.depth, (i) =>
      `    {
${
        of(down, (d) =>
          load(
            "left",
            `p${d}`,
            mix,
            `(${query ? "" : `side * ${rows}u + `}${rowsOfSide} + ${d * shape.rows}u) * ${WEIGHTS_STRIDE}u + ${i * shape.depth / 4}u`,
          ))
      }
${
        of(across, (j) =>
          `{ ${
            load(
              "right",
              "part",
              mix,
              `side * ${query ? sumQuads : COLUMNS * stride}u + ${i * shape.depth * stride + j * shape.columns / 4}u`,
            )
          }
${of(down, (d) => primitives.multiply(`sum${d}_${j}`, mix, { left: `p${d}`, right: "part" }))} }`)
      }
    }`)
  }
    workgroupBarrier();
  }
${
    of(passes, (pass) =>
      `${
        of(down, (d) =>
          range(across).filter((j) => Math.floor(j * shape.columns / COLUMNS) === pass)
            .map((j) => primitives.store(`sum${d}_${j}`, inScores(d, j * shape.columns % COLUMNS))).join("\n"))
      }
  workgroupBarrier();
  for (var row = thread / ${COLUMNS / 4}u; row < ${rows}u; row += ${rowsAtOnce}u) {
    if (first_row + row < total) {
${
        ofSides((s) =>
          `      { let quad = ${pass * COLUMNS / 4 + (query ? s * sumQuads : 0)}u + four;
      if (quad < ${query ? Math.min((s + 1) * sumQuads, vectors) : vectors}u) { ${result(s)} = ${scoresAt(`${s}u`)} * (${factor(s)}); } }`
        )
      }
    }
  }
  workgroupBarrier();`)
  }
}`;
}
