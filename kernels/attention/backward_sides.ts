/**
 * What the two kernels of attention's backward pass on subgroup matrices differ in: see `subgroup_matrix_backward_wgsl.ts`. Names that their texts
 * use: `row` of the tile, `four`, the vector of its columns, `quad`, the vector of a head.
 */
import { rowsOfWorkgroup } from "./subgroup_matrix_tile.ts";
import { inHalf, range, repeat } from "./text.ts";

/** Rows of a binding, as they are multiplied. */
export interface Operand {
  /** The binding. */
  readonly binding: string;
  /** Place of a row's first vector. */
  readonly place: (row: string) => string;
  /** What the values are multiplied by. */
  readonly factor?: string;
}

/** One of the kernels. */
export interface Sides {
  /** What rows are. */
  readonly rows: "queries" | "keys";
  /** Rows of the tile, of either side: left factors of the scores. */
  readonly own: readonly [Operand, Operand];
  /** Columns of the tile: right factors of the scores, and of what is summed. */
  readonly others: readonly [Operand, Operand];
  /** How many rows there are in all. */
  readonly total: string;
  /** Binding of the columns that a row sees, and how many columns there are in all. */
  readonly ranges: string;
  readonly columns: string;
  /** Norms of row `row` and of column `i`; whether the column counts. Which of the two is that of dy. */
  readonly ownNorm: string;
  readonly otherNorm: string;
  readonly counts: string;
  readonly dyNorm: "OWN_NORM" | "OTHER_NORM";
  /** Bindings from 8 on. */
  readonly bindings: string;
  /** Workgroup memory beside the tiles. */
  readonly memory: string;
  /** Keeps what is needed of row `i` of the tile, which is row `row`, and sees `seen` columns. */
  readonly readRow: string;
  /** Reads what is needed of an invocation's columns. */
  readonly readColumns: string;
  /** Computes weights from the scores `s` and `d` of a row and four columns. */
  readonly weights: string;
  /** Whether sides have weights of their own, and sum whole rows; otherwise they share weights, and sum half of each row. */
  readonly apart: boolean;
  /** Where four sums of a side belong, and what they are multiplied by. */
  readonly results: readonly [string, string];
  readonly factors: readonly [string, string];
}

/** Numbers of a head, and pairs of subgroups of a workgroup. */
type SidesOptions = { headDim: number; subgroups: number };

/** What p is multiplied by on its way to f16: many columns leave small weights. */
const WEIGHT_UNIT = "1024.0";

/** Weights of a side, a row and four columns. */
const weights = (side: number, rows: number): string => `weights[weight_place(${side * rows}u + row) + four]`;

/** Sizes and operands as both kernels have them. */
function shared({ headDim, subgroups }: SidesOptions): Record<"q" | "k" | "v" | "dy", Operand> & { vectors: number; rows: number } {
  const vectors = headDim / 4;
  return {
    vectors,
    rows: rowsOfWorkgroup(subgroups),
    q: { binding: "q", place: (row) => `q_place(${row}) + head * ${vectors}u`, factor: "(params.scale * LOG2E)" },
    k: { binding: "k", place: (row) => `k_place(${row}) + kv_head * ${vectors}u` },
    v: { binding: "v", place: (row) => `v_place(${row}) + kv_head * ${vectors}u` },
    dy: { binding: "dy", place: (row) => `y_place(${row}, head) * ${vectors}u`, factor: "dy_factor" },
  };
}

const dyNorm = (row: string): string => `norms[y_place(${row}, head)]`;
const vNorm = (key: string): string => `norms[params.rows * params.heads + ${key} * params.kv_heads + kv_head]`;

/** Rows are queries: dq. */
export function querySides(options: SidesOptions): Sides {
  const { vectors, rows, q, k, v, dy } = shared(options);
  const dq = `dq[dq_place(first_row + row) + head * ${vectors}u + quad]`;
  const factor = "params.scale / (dy_factor * ds_factor)";
  return {
    rows: "queries",
    own: [q, dy],
    others: [k, v],
    total: "params.rows",
    ranges: "ranges",
    columns: "params.keys",
    ownNorm: dyNorm("row"),
    otherNorm: vNorm("i"),
    counts: "true",
    dyNorm: "OWN_NORM",
    bindings: "@group(0) @binding(8) var<storage, read_write> dq: array<vec4<f32>>; // (rows, heads · headDim)",
    memory: `var<workgroup> rows_seen: array<vec4<u32>, ${rows}>; // as of_rows, with a count of keys`,
    readRow: "let of_row = of_rows[y_place(row, head)]; rows_seen[i] = vec4<u32>(of_row.x, seen, of_row.zw);",
    readColumns: "",
    weights: `let of_row = rows_seen[row];
      let here = vec4<u32>(first + 4u * four) + vec4<u32>(0u, 1u, 2u, 3u) - of_row.x < vec4<u32>(of_row.y); // wraps below the range
      let ds = exp2(s - bitcast<f32>(of_row.z)) * (d - bitcast<f32>(of_row.w) * dy_factor) * ds_factor;
      ${weights(0, rows)} = ${inHalf("select(vec4<f32>(), ds, here)")};`,
    apart: false,
    results: [dq, dq],
    factors: [factor, factor],
  };
}

/** Rows are keys: dk and dv. */
export function keySides(options: SidesOptions): Sides {
  const { vectors, rows, q, k, v, dy } = shared(options);
  const ofColumns = (part: string) => `vec4<u32>(${range(4).map((n) => `column${n}.${part}`).join(", ")})`;
  return {
    rows: "keys",
    own: [k, v],
    others: [q, dy],
    total: "params.keys",
    ranges: "key_ranges",
    columns: "params.rows",
    ownNorm: vNorm("row"),
    otherNorm: dyNorm("i"),
    counts: "ranges[i].y > ranges[i].x",
    dyNorm: "OTHER_NORM",
    bindings: `@group(0) @binding(8) var<storage, read> key_ranges: array<vec2<u32>>; // (keys): rows that may see a key
@group(0) @binding(9) var<storage, read_write> dkv: array<vec4<f32>>; // of every query head`,
    memory: "",
    readRow: "",
    readColumns: repeat(4, (n) =>
      `var column${n} = vec4<u32>();
    if (first + 4u * four + ${n}u < columns.y) { column${n} = of_rows[y_place(first + 4u * four + ${n}u, head)]; }`),
    weights: `let key = vec4<u32>(first_row + row);
      let here = (key >= ${ofColumns("x")}) & (key < ${ofColumns("y")});
      let p = select(vec4<f32>(), exp2(s - bitcast<vec4<f32>>(${ofColumns("z")})), here);
      let ds = p * (d - bitcast<vec4<f32>>(${ofColumns("w")}) * dy_factor) * ds_factor;
      ${weights(0, rows)} = ${inHalf("select(vec4<f32>(), ds, here)")};
      ${weights(1, rows)} = ${inHalf(`p * ${WEIGHT_UNIT}`)};`,
    apart: true,
    results: [
      `dkv[dk_place(first_row + row) + head * ${vectors}u + quad]`,
      `dkv[dv_place(first_row + row) + head * ${vectors}u + quad]`,
    ],
    factors: ["1.0 / (LOG2E * dy_factor * ds_factor)", `1.0 / (${WEIGHT_UNIT} * dy_factor)`],
  };
}
