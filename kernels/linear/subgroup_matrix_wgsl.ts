/**
 * WGSL of the matrix product on subgroup matrices (tensor cores): activations as f16 rows with a power of two each, weights rounded to f16 on
 * the way to workgroup memory, sums in f32. Letters and forms as in `product_wgsl.ts`.
 *
 * The subgroups of a workgroup compute a tile of y. Its part of `a` and `w` goes to workgroup memory in pieces of the tile's depth, the next
 * piece being read from memory, 16 bytes at a time, while the matrices of this one are multiplied. It is asked for before the subgroups wait for each
 * other, so that places are computed meanwhile, and not while matrices could be multiplied.
 */
import {
  matrixMain,
  type MatrixPrimitives,
  type MatrixProduct,
  SUBGROUP_MATRICES,
  type SumsArray,
  type TilePart,
} from "../matrix_primitives.ts";
import type { SubgroupMatrixShape } from "../subgroup_matrix.ts";
import { type Epilogue, type Form, header, NO_EPILOGUE, type ProductWgsl } from "./product_wgsl.ts";
import { storageWgsl } from "./storage_wgsl.ts";
import type { WeightType } from "./weight_types.ts";

/** What a workgroup computes: rows, columns and depth of what it holds in its memory, multiples of the matrices' sizes, the depth of 8. */
export interface MatrixTile extends SubgroupMatrixShape {
  /** Subgroups below each other, and side by side, among which rows and columns are divided; 2 when left out. */
  readonly down?: number;
  /** See `down`. */
  readonly across?: number;
}

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
  /** Tile of a workgroup. */
  tile: MatrixTile;
  /** Whether weights may be beyond f16's range and are taken as its largest numbers then; true when left out. */
  bounded?: boolean;
  /** Whether rows of weights (float ones) have a multiple of eight numbers, to be read in eights. */
  wide?: boolean;
  /** Whether workgroups along z compute parts of the sum, to be added afterwards. */
  split?: boolean;
  /** How matrices are computed with. */
  primitives?: MatrixPrimitives;
}

const STAGING: SumsArray = { name: "staging", width: 1 };

/** Two vectors between rows keep subgroups from reading the same bank of workgroup memory again and again. */
const PADDING = 2;

/**
 * Row of read number `at` where a row has so many reads. Eight invocations in a row write 128 bytes to workgroup memory at a time: where they do not
 * belong to one row, to rows four apart, whose parts lie in different banks.
 */
const rowOf = (at: string, reads: number): string =>
  reads === 4 ? `${at} / 32u * 8u + ${at} / 4u % 2u * 4u + ${at} / 8u % 4u` : `${at} / ${reads}u`;
const lines = (n: number, line: (i: number) => string): string => Array.from({ length: n }, (_, i) => line(i)).join("\n");
const quotient = (a: number, b: number): number => Math.ceil(a / b);

/** Vectors of four f16 in workgroup memory, row by row. */
interface Staged {
  /** Array of the workgroup's memory, and of the invocations' registers. */
  name: "a" | "w";
  /** Rows, and vectors of a row. */
  rows: number;
  quads: number;
  /** Vectors that are read at once. */
  together: number;
  /** Type of what is read at once. */
  type: string;
  /** Part of the place of row `row`, vectors from `quad` on, that stays the same from piece to piece; then the whole place. */
  base: string;
  /** What is read for row `row`, vectors from `quad` on. */
  read: (base: string) => string;
  /** Vector number `i` of what was read. */
  value: (raw: string, i: number) => string;
}

/** How weights come to workgroup memory. */
function stagedWeights(form: Form, { dtype, tile, bounded = true, wide = false }: SubgroupMatrixWgslOptions): Staged {
  const { read4, stride, scales, four } = storageWgsl(dtype);
  const half = (value: string) => bounded ? `clamp(vec4<f16>(${value}), vec4<f16>(-65504.0), vec4<f16>(65504.0))` : `vec4<f16>(${value})`;
  const together = wide && !scales ? 2 : 1;
  // Behind the end of the summed dimension `a` is 0, and any weights will do.
  const inRow = (quad: string, count: string) => `min(${quad}, ${count} / ${4 * together}u - 1u)`;
  const quad = together === 2 ? "quad / 2u" : "quad";
  const base = form === "rows"
    ? `min(first_column + row, params.columns - 1u) * (${stride("params.depth")} / ${4 * together}u)`
    : inRow(`first_column / ${4 * together}u + ${quad}`, "params.columns");
  const moving = form === "rows"
    ? inRow(`k / ${4 * together}u + ${quad}`, "params.depth")
    : `min(k + row, params.depth - 1u) * (${stride("params.columns")} / ${4 * together}u)`;
  const sizes = form === "rows" ? { rows: tile.columns, quads: tile.depth / 4 } : { rows: tile.depth, quads: tile.columns / 4 };
  const all = { name: "w" as const, ...sizes, together, base };
  // Quantised weights are read with their scales; others as they are, so that nothing waits for them before they are put to use.
  if (scales) return { ...all, type: "vec4<f16>", read: (base) => half(read4(`${base} + ${moving}`)), value: (raw) => raw };
  const words = (raw: string, i: number) => together === 2 ? `${raw}.${i ? "zw" : "xy"}` : raw;
  return {
    ...all,
    type: together === 2 ? "vec4<u32>" : four,
    read: (base) => `w[${base} + ${moving}]`,
    value: (raw, i) => dtype === "f16" ? `halves(${words(raw, i)})` : half(`unpack4(${words(raw, i)})`),
  };
}

/**
 * The product's kernel: `a` (M, K filled up with zeros to whole tiles) f16 with `row_scales` (M) f32; dispatched with row tiles in x. With `split`, y
 * is (parts · M, N).
 */
export function subgroupMatrixWgsl(form: Form, options: SubgroupMatrixWgslOptions): ProductWgsl {
  const { dtype, shape, lanes, tile, split = false, primitives = SUBGROUP_MATRICES } = options;
  const subgroups = subgroupsOf(tile);
  const threads = subgroups.down * subgroups.across * lanes;
  const depthQuads = tile.depth / 4;
  const ofA: Staged = {
    name: "a",
    rows: tile.rows,
    quads: depthQuads,
    together: 2,
    type: "vec4<u32>",
    base: "min(first_row + row, params.rows - 1u) * row_eights + quad / 2u",
    read: (base) => `a[${base} + k / 8u]`,
    value: (raw, i) => `halves(${raw}.${i ? "zw" : "xy"})`,
  };
  const ofW = stagedWeights(form, options);
  const part = ({ name, quads }: Staged, depthInRows: boolean): TilePart => ({
    tile: `tile_${name}`,
    depthInRows,
    stride: quads + PADDING,
  });
  const [a, w] = [part(ofA, true), part(ofW, form === "rows")];
  const product: MatrixProduct = { name: "tile", left: a, right: w };
  const down = tile.rows / subgroups.down / shape.rows; // matrices of a subgroup
  const across = tile.columns / subgroups.across / shape.columns;
  const each = ({ rows, quads, together }: Staged, body: (i: number) => string) => {
    const total = rows * quads / together;
    return lines(quotient(total, threads), (i) => {
      const own = `let row = ${rowOf("at", quads / together)}; let quad = ${together}u * (at % ${quads / together}u); ${body(i)}`;
      return `{ let at = thread + ${i * threads}u; ${(i + 1) * threads > total ? `if (at < ${total}u) { ${own} }` : own} }`;
    });
  };
  const fetch = (staged: Staged) => each(staged, (i) => `${staged.name}${i} = ${staged.read(`base_${staged.name}${i}`)};`);
  const put = (staged: Staged) =>
    each(staged, (i) =>
      lines(staged.together, (n) => {
        const to = `row * ${staged.quads + PADDING}u + quad + ${n}u`;
        return `tile_${staged.name}[${to}] = ${staged.value(`${staged.name}${i}`, n)};`;
      }));
  const declare = (staged: Staged) =>
    lines(
      quotient(staged.rows * staged.quads / staged.together, threads),
      (i) => `var ${staged.name}${i}: ${staged.type}; var base_${staged.name}${i} = 0u;`,
    ) + each(staged, (i) => `base_${staged.name}${i} = ${staged.base};`);
  const multiply = lines(tile.depth / shape.depth, (step) => {
    const k = step * shape.depth;
    const right = (j: number) =>
      form === "rows"
        ? `(column_part + ${j * shape.columns}u) * ${w.stride}u + ${k / 4}u`
        : `${k * w.stride}u + (column_part + ${j * shape.columns}u) / 4u`;
    return `{
${
      lines(down, (i) =>
        primitives.load("left", `left${i}`, {
          shape,
          product,
          at: `(row_part + ${i * shape.rows}u) * ${a.stride}u + ${k / 4}u`,
        }))
    }
${lines(across, (j) => primitives.load("right", `right${j}`, { shape, product, at: right(j) }))}
${lines(down, (i) => lines(across, (j) => primitives.multiply(`c${i}_${j}`, product, { left: `left${i}`, right: `right${j}` })))}
    }`;
  });
  // A matrix of each subgroup at a time goes to y by way of workgroup memory: little of it, so that many workgroups fit on a core.
  const size = shape.rows * shape.columns;
  const write = lines(down, (i) =>
    lines(across, (j) =>
      `  workgroupBarrier();
${primitives.store(`c${i}_${j}`, { shape, array: STAGING, at: `subgroup * ${size}u`, stride: shape.columns })}
  workgroupBarrier();
  finish(${split ? "group.z, " : ""}first_row + row_part + ${i * shape.rows}u, first_column + column_part + ${
        j * shape.columns
      }u, subgroup, lane);`));
  const fetchNext = `if (k < end) {
${fetch(ofA)}
${fetch(ofW)}
    }`;
  const walk = `  ${fetchNext}
  while (k < end) {
    workgroupBarrier();
${put(ofA)}
${put(ofW)}
    k += ${tile.depth}u;
    ${fetchNext}
    workgroupBarrier();
${multiply}
  }`;
  return {
    label: `linear ${form} subgroup matrix ${matrixTileName(tile)} ${dtype}${split ? " split" : ""}`,
    tileRows: tile.rows,
    tileColumns: tile.columns,
    code: `enable f16; ${primitives.directives}
${
      header(dtype, split ? NO_EPILOGUE : options.epilogue, {
        activations: "vec4<u32>",
        weights: ofW.together === 2 ? "vec4<u32>" : undefined,
      })
    }
@group(0) @binding(7) var<storage, read> row_scales: array<f32>;
var<workgroup> tile_a: array<vec4<f16>, ${ofA.rows * a.stride}>; // [row][k / 4]
var<workgroup> tile_w: array<vec4<f16>, ${ofW.rows * w.stride}>; // ${form === "rows" ? "[column][k / 4]" : "[k][column / 4]"}
var<workgroup> staging: array<f32, ${subgroups.down * subgroups.across * size}>; // a matrix of each subgroup
${primitives.halves}
${primitives.declarations({ shape, lanes, products: [product], arrays: [STAGING] })}
fn finish(${split ? "part: u32, " : ""}row: u32, column: u32, subgroup: u32, lane: u32) {
  for (var i = lane; i < ${size}u; i += ${lanes}u) {
    let y_row = row + i / ${shape.columns}u;
    let y_column = column + i % ${shape.columns}u;
    let value = staging[subgroup * ${size}u + i] * row_scales[min(y_row, params.rows - 1u)];
    ${
      split
        ? "if (y_row < params.rows && y_column < params.columns) { y[(part * params.rows + y_row) * params.columns + y_column] = value; }"
        : "store(y_row, y_column, value);"
    }
  }
}
${matrixMain(threads, primitives)}
  let first_row = group.x * ${tile.rows}u;
  let first_column = group.y * ${tile.columns}u;
  let row_part = subgroup / ${subgroups.across}u * ${tile.rows / subgroups.down}u;
  let column_part = subgroup % ${subgroups.across}u * ${tile.columns / subgroups.across}u;
  let pieces = (params.depth + ${tile.depth - 1}u) / ${tile.depth}u;
  let row_eights = pieces * ${tile.depth / 8}u;
  var k = ${split ? `group.z * ((pieces + groups.z - 1u) / groups.z) * ${tile.depth}u` : "0u"};
  let end = ${split ? `min(k + (pieces + groups.z - 1u) / groups.z * ${tile.depth}u, params.depth)` : "params.depth"};
${lines(down, (i) => lines(across, (j) => primitives.sums(`c${i}_${j}`, shape)))}
${declare(ofA)}
${declare(ofW)}
${walk}
${write}
}`,
  };
}

/** A tile in a few words. */
export function matrixTileName(tile: MatrixTile): string {
  const { rows, columns, depth } = tile;
  const { down, across } = subgroupsOf(tile);
  return `${rows}x${columns}x${depth} by ${down}x${across}`;
}

/** How many subgroups a tile has. */
export function subgroupsOf({ down = 2, across = 2 }: MatrixTile): { down: number; across: number } {
  return { down, across };
}

/** Bytes of workgroup memory that the kernel takes. */
export function subgroupMatrixBytes(form: Form, { tile, shape }: { tile: MatrixTile; shape: SubgroupMatrixShape }): number {
  const { down, across } = subgroupsOf(tile);
  const [rows, quads] = form === "rows" ? [tile.columns, tile.depth / 4] : [tile.depth, tile.columns / 4];
  return 8 * (tile.rows * (tile.depth / 4 + PADDING) + rows * (quads + PADDING)) + 4 * down * across * shape.rows * shape.columns;
}
