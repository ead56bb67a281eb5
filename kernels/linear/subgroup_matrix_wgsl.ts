/**
 * WGSL of the matrix product on subgroup matrices (tensor cores): activations as f16 rows with a power of two each, weights rounded to f16 on
 * the way to workgroup memory, sums in f32. Letters and forms as in `product_wgsl.ts`.
 *
 * A workgroup of 2 × 2 subgroups computes a tile of y. Its part of `a` and `w` goes to workgroup memory in pieces of the tile's depth, the next
 * piece being read from memory while the matrices of this one are multiplied.
 */
import { type MatrixPrimitives, type MatrixProduct, SUBGROUP_MATRICES, type SumsArray, type TilePart } from "../matrix_primitives.ts";
import type { SubgroupMatrixShape } from "../subgroup_matrix.ts";
import { type Epilogue, type Form, header, type ProductWgsl } from "./product_wgsl.ts";
import { storageWgsl } from "./storage_wgsl.ts";
import type { WeightType } from "./weight_types.ts";

/** Rows, columns and depth of what a workgroup holds in its memory: multiples of twice the matrices' sizes, the depth of 4. */
export type Tile = SubgroupMatrixShape;

/** Options of {@linkcode subgroupMatrixWgsl}. */
export interface SubgroupMatrixWgslOptions {
  /** Number type of the weights. */
  dtype: WeightType;
  /** What is added. */
  epilogue: Epilogue;
  /** The adapter's matrices. */
  shape: SubgroupMatrixShape;
  /** Lanes of a subgroup. */
  lanes: number;
  /** Tile of a workgroup; {@linkcode TILE} when left out. */
  tile?: Tile;
  /** How matrices are computed with. */
  primitives?: MatrixPrimitives;
}

/** The tile that was fastest on an H200, or nearly so. */
export const TILE: Tile = { rows: 64, columns: 64, depth: 64 };

const STAGING: SumsArray = { name: "staging", width: 1 };

/** Two vectors between rows keep subgroups from reading the same bank of workgroup memory again and again. */
const PADDING = 2;

const lines = (n: number, line: (i: number) => string): string => Array.from({ length: n }, (_, i) => line(i)).join("\n");
const quotient = (a: number, b: number): number => Math.ceil(a / b);

/** The product's kernel: `a` (M, K filled up with zeros to whole tiles) f16 with `row_scales` (M) f32; dispatched with row tiles in x. */
export function subgroupMatrixWgsl(form: Form, options: SubgroupMatrixWgslOptions): ProductWgsl {
  const { dtype, epilogue, shape, lanes, tile = TILE, primitives = SUBGROUP_MATRICES } = options;
  const storage = storageWgsl(dtype);
  const { read4, stride } = storage;
  const threads = 4 * lanes;
  const depthQuads = tile.depth / 4;
  const a: TilePart = { tile: "tile_a", depthInRows: true, stride: depthQuads + PADDING };
  const w: TilePart = form === "rows"
    ? { tile: "tile_w", depthInRows: true, stride: depthQuads + PADDING }
    : { tile: "tile_w", depthInRows: false, stride: tile.columns / 4 + PADDING };
  const product: MatrixProduct = { name: "tile", left: a, right: w };
  const [tileWRows, tileWQuads] = form === "rows" ? [tile.columns, depthQuads] : [tile.depth, tile.columns / 4];
  const down = tile.rows / 2 / shape.rows; // matrices of a subgroup
  const across = tile.columns / 2 / shape.columns;
  const inA = pieces(tile.rows * depthQuads, threads);
  const inW = pieces(tileWRows * tileWQuads, threads);
  // What is beyond the range of f16 becomes its largest numbers.
  const bounded = (value: string) =>
    dtype === "f16" ? `vec4<f16>(${value})` : `clamp(vec4<f16>(${value}), vec4<f16>(-65504.0), vec4<f16>(65504.0))`;
  // Behind the end of the summed dimension `a` is 0, and it does not matter what is read of w.
  const placeW = form === "rows"
    ? `min(first_column + row, params.columns - 1u) * (${stride("params.depth")} / 4u) + k / 4u + quad`
    : `(k + row) * (${stride("params.columns")} / 4u) + min(first_column / 4u + quad, params.columns / 4u - 1u)`;
  // Quantised weights are read with their scales; others as they are, so that nothing waits for them before they are put to use.
  const weights = storage.scales
    ? { type: "vec4<f16>", read: bounded(read4(placeW)), value: (raw: string) => raw }
    : { type: storage.four, read: `w[${placeW}]`, value: (raw: string) => bounded(`unpack4(${raw})`) };
  const each = (sizes: { count: number; whole: boolean; total: number }, body: (i: number) => string) =>
    lines(sizes.count, (i) => {
      const at = `let at = thread + ${i * threads}u;`;
      return sizes.whole || i < sizes.count - 1 ? `{ ${at} ${body(i)} }` : `{ ${at} if (at < ${sizes.total}u) { ${body(i)} } }`;
    });
  const fetch = (k: string) =>
    `{ let k = ${k};
${each(inA, (i) => `a${i} = a[min(first_row + at / ${depthQuads}u, params.rows - 1u) * row_quads + k / 4u + at % ${depthQuads}u];`)}
${each(inW, (i) => `let row = at / ${tileWQuads}u; let quad = at % ${tileWQuads}u; w${i} = ${weights.read};`)}
    }`;
  const multiply = lines(tile.depth / shape.depth, (step) => {
    const k = step * shape.depth;
    const right = (j: number) =>
      form === "rows"
        ? `(column_part + ${j * shape.columns}u) * ${w.stride}u + ${k / 4}u`
        : `${k * w.stride}u + (column_part + ${j * shape.columns}u) / 4u`;
    return `{
${
      lines(down, (i) =>
        primitives.load("left", `left${i}`, { shape, product, at: `(row_part + ${i * shape.rows}u) * ${a.stride}u + ${k / 4}u` }))
    }
${lines(across, (j) => primitives.load("right", `right${j}`, { shape, product, at: right(j) }))}
${lines(down, (i) => lines(across, (j) => primitives.multiply(`c${i}_${j}`, product, { left: `left${i}`, right: `right${j}` })))}
    }`;
  });
  // A row of a subgroup's matrices at a time goes to y by way of workgroup memory.
  const width = across * shape.columns;
  const size = shape.rows * width;
  const write = lines(down, (i) =>
    `workgroupBarrier();
${
      lines(
        across,
        (j) => primitives.store(`c${i}_${j}`, { shape, array: STAGING, at: `subgroup * ${size}u + ${j * shape.columns}u`, stride: width }),
      )
    }
  workgroupBarrier();
  finish(first_row + row_part + ${i * shape.rows}u, first_column + column_part, subgroup, lane);`);
  return {
    label: `linear ${form} subgroup matrix ${dtype}`,
    tileRows: tile.rows,
    tileColumns: tile.columns,
    code: `enable f16; ${primitives.directives}
${header(dtype, epilogue, { activations: "vec4<f16>" })}
@group(0) @binding(7) var<storage, read> row_scales: array<f32>;
var<workgroup> tile_a: array<vec4<f16>, ${tile.rows * a.stride}>; // [row][k / 4]
var<workgroup> tile_w: array<vec4<f16>, ${tileWRows * w.stride}>; // ${form === "rows" ? "[column][k / 4]" : "[k][column / 4]"}
var<workgroup> staging: array<f32, ${4 * size}>; // a row of matrices of each subgroup
${primitives.declarations({ shape, lanes, products: [product], arrays: [STAGING] })}
fn finish(row: u32, column: u32, subgroup: u32, lane: u32) {
  for (var i = lane; i < ${size}u; i += ${lanes}u) {
    let y_row = row + i / ${width}u;
    store(y_row, column + i % ${width}u, staging[subgroup * ${size}u + i] * row_scales[min(y_row, params.rows - 1u)]);
  }
}
@compute @workgroup_size(${threads})
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) thread: u32, ${primitives.place.parameters}) {
  ${primitives.place.statements}
  let first_row = group.x * ${tile.rows}u;
  let first_column = group.y * ${tile.columns}u;
  let row_part = subgroup / 2u * ${tile.rows / 2}u;
  let column_part = subgroup % 2u * ${tile.columns / 2}u;
  let row_quads = (params.depth + ${tile.depth - 1}u) / ${tile.depth}u * ${depthQuads}u;
${lines(down, (i) => lines(across, (j) => primitives.sums(`c${i}_${j}`, shape)))}
${lines(inA.count, (i) => `var a${i}: vec4<f16>;`)}
${lines(inW.count, (i) => `var w${i}: ${weights.type};`)}
  ${fetch("0u")}
  for (var first = 0u; first < params.depth; first += ${tile.depth}u) {
    workgroupBarrier();
${each(inA, (i) => `tile_a[at / ${depthQuads}u * ${a.stride}u + at % ${depthQuads}u] = a${i};`)}
${each(inW, (i) => `tile_w[at / ${tileWQuads}u * ${w.stride}u + at % ${tileWQuads}u] = ${weights.value(`w${i}`)};`)}
    workgroupBarrier();
    if (first + ${tile.depth}u < params.depth) ${fetch(`first + ${tile.depth}u`)}
${multiply}
  }
${write}
}`,
  };
}

/** In how many pieces a workgroup's invocations move `total` vectors, and whether all are busy in the last. */
function pieces(total: number, threads: number): { count: number; whole: boolean; total: number } {
  return { count: quotient(total, threads), whole: total % threads === 0, total };
}
