/**
 * WGSL of the matrix products for GPUs: tiles in workgroup memory, 4 × 4 or 8 × 8 sums an invocation, the next tiles read from memory while
 * this one is multiplied. Letters and forms as in `product_wgsl.ts`.
 *
 * With `half`, activations are f16 rows with a power of two each (`half_rows.wgsl`), weights are rounded to f16, and products are summed in f16
 * over the depth of a tile, then in f32.
 */
import { type Epilogue, type Form, header, type ProductWgsl } from "./product_wgsl.ts";
import { storageWgsl } from "./storage_wgsl.ts";
import type { WeightType } from "./weight_types.ts";

/** What a workgroup of 256 computes. */
export interface ProductTile {
  /** Rows and columns of its part of y. */
  readonly side: 64 | 128;
  /** Whether factors are f16. */
  readonly half: boolean;
}

/** Summed dimension of a tile: what keeps all 256 invocations busy with reading blocks of 4 × 4. */
export function tileDepth({ side, half }: ProductTile): number {
  return side === 128 && !half ? 16 : 32;
}

/** Options of {@linkcode tileProduct}. */
export interface TileProductOptions {
  /** Number type of the weights. */
  dtype: WeightType;
  /** What is added; nothing when the depth is split. */
  epilogue: Epilogue;
  /** The tile. */
  tile: ProductTile;
  /** Whether workgroups along z compute parts of the sum, to be added afterwards. */
  split: boolean;
}

const INVOCATIONS = 256;
const range = (n: number): number[] => Array.from({ length: n }, (_, i) => i);
const lines = (n: number, line: (i: number) => string): string => range(n).map(line).join("\n");
const part = (i: number): string => "xyzw"[i];

/**
 * The product's kernel. Depth a multiple of 4, in the form `columns` the columns, too. With `half`, `a` (M, K filled up with zeros to whole tiles)
 * is f16 and `row_scales` (M) f32 undoes its scales. With `split`, y is (parts · M, N).
 */
export function tileProduct(form: Form, { dtype, epilogue, tile, split }: TileProductOptions): ProductWgsl {
  const { side, half } = tile;
  const { read4, stride } = storageWgsl(dtype);
  const number = half ? "f16" : "f32";
  const four = `vec4<${number}>`;
  const depth = tileDepth(tile);
  const quads = side / 4; // vectors of a row of a tile
  const sums = side / 16; // of an invocation, each way
  const blocks = quads * depth / 4;
  const shared = blocks < INVOCATIONS; // half of the invocations read each factor
  // A tile lies as [k][row or column]; within a group of four k the vectors are permuted, so that neighbours write to different banks.
  const put = (array: string, k: string, value: (s: number) => string) =>
    lines(4, (s) => `${array}[(4u * ${k} + ${s}u) * ${quads}u + (across ^ ${k})] = ${value(s)};`);
  const transposed = (s: number) => `${four}(${range(4).map((r) => `block${r}.${part(s)}`).join(", ")})`;
  const straight = (s: number) => `block${s}`;
  const along = { place: `let deep = block % ${depth / 4}u; let across = block / ${depth / 4}u;` };
  const beside = { place: `let deep = block / ${quads}u; let across = block % ${quads}u;` };
  const placeW = form === "rows" ? along.place : beside.place;
  const clamped = half && dtype !== "f16";
  const weights = (at: string) => {
    const value = read4(at);
    return half ? `${four}(${clamped ? `clamp(${value}, vec4<f32>(-65504.0), vec4<f32>(65504.0))` : value})` : value;
  };
  const fetchA = (r: number) => {
    const row = `min(first_row + 4u * across + ${r}u, params.rows - 1u)`;
    if (half) return `a[${row} * row_quads + k / 4u + deep]`;
    return `select(${four}(), a[${row} * row_quads + k / 4u + deep], k / 4u + deep < row_quads)`;
  };
  const fetchW = (r: number) =>
    weights(
      form === "rows"
        ? `min(first_column + 4u * across + ${r}u, params.columns - 1u) * (${stride("params.depth")} / 4u) + k / 4u + deep`
        : `(k + 4u * deep + ${r}u) * (${stride("params.columns")} / 4u) + min(first_column / 4u + across, params.columns / 4u - 1u)`,
    );
  const fetch = (name: string, value: (r: number) => string) => lines(4, (r) => `${name}${r} = ${value(r)};`);
  const isA = `thread < ${blocks}u`;
  const fetchTiles = shared
    ? `if (${isA}) { let block = thread; ${along.place} ${fetch("v", fetchA)} } else { let block = thread - ${blocks}u; ${placeW} ${
      fetch("v", fetchW)
    } }`
    : `{ let block = thread; ${along.place} ${fetch("v", fetchA)} } { let block = thread; ${placeW} ${fetch("u", fetchW)} }`;
  const take = (name: string) => lines(4, (r) => `let block${r} = ${name}${r};`);
  const putA = `${along.place} ${take("v")} ${put("tile_a", "deep", transposed)}`;
  const putW = `${placeW} ${take(shared ? "v" : "u")} ${put("tile_w", "deep", form === "rows" ? transposed : straight)}`;
  const putTiles = shared
    ? `if (${isA}) { let block = thread; ${putA} } else { let block = thread - ${blocks}u; ${putW} }`
    : `{ let block = thread; ${putA} } { let block = thread; ${putW} }`;
  const accumulators = half ? "h" : "c";
  const multiply = lines(depth, (k) => {
    const read = (array: string, lane: string, group: number) => `${array}[${k * quads + 16 * group}u + (${lane} ^ ${k >> 2}u)]`;
    return `{ ${range(sums / 4).map((g) => `let va${g} = ${read("tile_a", "ty", g)}; let vw${g} = ${read("tile_w", "tx", g)};`).join(" ")}
${
      lines(sums, (i) =>
        range(sums / 4).map((g) => {
          const sum = `${accumulators}${i}_${g}`;
          return `${sum} = fma(${four}(va${i >> 2}.${part(i & 3)}), vw${g}, ${sum});`;
        }).join(" "))
    } }`;
  });
  const each = (line: (i: number, g: number) => string) => lines(sums, (i) => lines(sums / 4, (g) => line(i, g)));
  const scale = (row: string) => half ? ` * row_scales[min(${row}, params.rows - 1u)]` : "";
  const finish = split ? "store_part(group.z, " : "store(";
  return {
    label: `linear ${form} tile ${side} ${number} ${dtype}${split ? " split" : ""}`,
    tileRows: side,
    tileColumns: side,
    code: `${half ? "enable f16;" : ""}
${header(dtype, epilogue, { activations: four })}
${half ? "@group(0) @binding(7) var<storage, read> row_scales: array<f32>;" : ""}
var<workgroup> tile_a: array<${four}, ${depth * quads}>;
var<workgroup> tile_w: array<${four}, ${depth * quads}>;
fn store_part(part: u32, row: u32, column: u32, value: f32) {
  if (row < params.rows && column < params.columns) { y[(part * params.rows + row) * params.columns + column] = value; }
}
@compute @workgroup_size(${INVOCATIONS})
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
  let tx = thread % 16u;
  let ty = thread / 16u;
  let first_row = group.y * ${side}u;
  let first_column = group.x * ${side}u;
  let row_quads = ${half ? `(params.depth + ${depth - 1}u) / ${depth}u * ${depth / 4}u` : "params.depth / 4u"};
  let slice = ${split ? `((params.depth + ${depth - 1}u) / ${depth}u + groups.z - 1u) / groups.z * ${depth}u` : "params.depth"};
  let begin = group.z * slice;
  let end = min(begin + slice, params.depth);
${each((i, g) => `var c${i}_${g} = vec4<f32>();`)}
${lines(4, (r) => `var v${r} = ${four}();${shared ? "" : ` var u${r} = ${four}();`}`)}
  var k = begin;
  ${fetchTiles}
  while (k < end) {
    workgroupBarrier();
    ${putTiles}
    workgroupBarrier();
    k += ${depth}u;
    if (k < end) { ${fetchTiles} }
${half ? each((i, g) => `var h${i}_${g} = ${four}();`) : ""}
${multiply}
${half ? each((i, g) => `c${i}_${g} += vec4<f32>(h${i}_${g});`) : ""}
  }
${
      each((i, g) => {
        const row = `first_row + ${64 * (i >> 2)}u + 4u * ty + ${i & 3}u`;
        return lines(4, (s) => `${finish}${row}, first_column + ${64 * g}u + 4u * tx + ${s}u, c${i}_${g}.${part(s)}${scale(row)});`);
      })
    }
}`,
  };
}
