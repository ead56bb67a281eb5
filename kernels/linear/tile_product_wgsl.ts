/**
 * WGSL of the matrix products for GPUs: tiles in workgroup memory, 8 × 8 sums an invocation, the next tiles on their way from memory while this
 * one is multiplied. Letters and forms as in `product_wgsl.ts`; what an invocation does with its tiles stands in `tile_sums_wgsl.ts`.
 *
 * With `half`, activations are f16 rows with a power of two each (`half_rows_wgsl.ts`), weights are rounded to f16, and products are summed in f16
 * over `halfSum` numbers, then in f32. The error of these sums grows with the square root of that number.
 */
import { type Epilogue, type Form, header, type ProductWgsl } from "./product_wgsl.ts";
import { storageWgsl } from "./storage_wgsl.ts";
import { type FactorTile, invocationsOf, tileSums } from "./tile_sums_wgsl.ts";
import type { WeightType } from "./weight_types.ts";

/** What a workgroup computes. */
export interface ProductTile {
  /** Rows of its part of y. */
  readonly rows: 64 | 128;
  /** Columns of its part of y. */
  readonly columns: 64 | 128;
  /** Whether factors are f16. */
  readonly half: boolean;
  /** Whether activations lie in workgroup memory twice, for compilers that pair f16 only then; of f16 alone. See `tile_sums_wgsl.ts`. */
  readonly copies?: boolean;
}

/** Summed dimension of a tile. */
export function tileDepth({ half }: ProductTile): number {
  return half ? 32 : 16;
}

/** Products that are summed in f16: a multiple of the tile's depth, or a divisor of it that is a multiple of 4. */
export const HALF_SUM = 64;
/** The same where the product has to be more exact. */
export const PRECISE_HALF_SUM = 16;

/** Options of {@linkcode tileProduct}. */
export interface TileProductOptions {
  /** Number type of the weights. */
  dtype: WeightType;
  /** What is added; nothing when the depth is split. */
  epilogue: Epilogue;
  /** The tile. */
  tile: ProductTile;
  /** Products that are summed in f16; {@linkcode HALF_SUM} when left out. Of no effect on a tile of f32. */
  halfSum?: number;
  /** Whether weights may be beyond f16's range and are taken as its largest numbers then; true when left out. Of no effect on a tile of f32. */
  bounded?: boolean;
  /** Whether workgroups along z compute parts of the sum, to be added afterwards. */
  split: boolean;
}

const lines = (n: number, line: (i: number) => string): string => Array.from({ length: n }, (_, i) => line(i)).join("\n");

/** A tile in a few words. */
export function tileName({ rows, columns, half, copies }: ProductTile): string {
  return `${rows}x${columns} ${half ? "f16" : "f32"}${copies ? " copies" : ""}`;
}

/** A factor's way to workgroup memory, in blocks of four rows (columns of y) and four numbers of the summed dimension. */
interface Factor extends FactorTile {
  /** Type of what is read at once. */
  type: string;
  /** What is read: line r of the block at `across`, `deep`. */
  load: (r: number) => string;
  /** Four numbers of what was read. */
  value: (raw: string) => string;
}

/**
 * The product's kernel; row tiles in x, since neighbours then share weights, column tiles in y. Depth a multiple of 4, in the form `columns` the
 * columns, too. With `half`, `a` (M, K filled up with zeros to whole tiles) is f16 and `row_scales` (M) f32 undoes its scales. With `split`, y is
 * (parts · M, N).
 */
export function tileProduct(
  form: Form,
  { dtype, epilogue, tile, halfSum = HALF_SUM, bounded = true, split }: TileProductOptions,
): ProductWgsl {
  const { rows, columns, half } = tile;
  const storage = storageWgsl(dtype);
  const number = half ? "f16" : "f32";
  const four = `vec4<${number}>`;
  const depth = tileDepth(tile);
  const deepQuads = depth / 4;
  const { down, across } = invocationsOf(tile);
  const threads = down * across;
  const sums = tileSums(tile, { depth });
  const widen = (value: string) => half ? `${four}(${value})` : value;
  // What is beyond the range of f16 becomes its largest numbers.
  const asFactor = (value: string) =>
    half && bounded && dtype !== "f16" ? `clamp(${widen(value)}, ${four}(-65504.0), ${four}(65504.0))` : widen(value);
  const placeW = (r: number) =>
    form === "rows"
      ? `min(first_column + 4u * across + ${r}u, params.columns - 1u) * (${storage.stride("params.depth")} / 4u) + k / 4u + deep`
      : `(k + 4u * deep + ${r}u) * (${storage.stride("params.columns")} / 4u) + min(first_column / 4u + across, params.columns / 4u - 1u)`;
  const rowOfA = (r: number) => `min(first_row + 4u * across + ${r}u, params.rows - 1u) * row_quads + k / 4u + deep`;
  const a: Factor = {
    name: "a",
    length: rows,
    along: true,
    type: four,
    load: (r) => half ? `a[${rowOfA(r)}]` : `select(${four}(), a[${rowOfA(r)}], k / 4u + deep < row_quads)`,
    value: (raw) => raw,
  };
  const w: Factor = {
    name: "w",
    length: columns,
    along: form === "rows",
    // Quantised weights are read with their scales; others as they are, so that nothing waits for them before they are put to use.
    ...(storage.scales
      ? { type: four, load: (r) => asFactor(storage.read4(placeW(r))), value: (raw) => raw }
      : { type: storage.four, load: (r) => `w[${placeW(r)}]`, value: (raw) => asFactor(`unpack4(${raw})`) }),
  };
  const blocks = ({ length }: Factor) => length / 4 * deepQuads;
  const rounds = (factor: Factor) => Math.ceil(blocks(factor) / threads);
  const each = (factor: Factor, text: (i: number) => string) =>
    lines(rounds(factor), (i) => {
      const guard = (i + 1) * threads > blocks(factor) ? `if (block < ${blocks(factor)}u) ` : "";
      const place = factor.along
        ? `let deep = block % ${deepQuads}u; let across = block / ${deepQuads}u;`
        : `let deep = block / ${factor.length / 4}u; let across = block % ${factor.length / 4}u;`;
      return `{ let block = thread + ${i * threads}u; ${place} ${guard}{\n${text(i)} } }`;
    });
  const register = (factor: Factor, i: number, r: number) => `${factor.name}${i}_${r}`;
  const fetch = (factor: Factor) => each(factor, (i) => lines(4, (r) => `${register(factor, i, r)} = ${factor.load(r)};`));
  const put = (factor: Factor) =>
    each(factor, (i) => `${lines(4, (r) => `let b${r} = ${factor.value(register(factor, i, r))};`)}\n${sums.put(factor)}`);
  const declare = (factor: Factor) => lines(rounds(factor), (i) => lines(4, (r) => `var ${register(factor, i, r)} = ${factor.type}();`));
  const { flush, clear } = sums;
  const long = half && halfSum > depth; // f16 sums go on from tile to tile; otherwise each begins with its first product
  const multiply = lines(depth, (k) => {
    const end = k + 1;
    return `${sums.multiply(k, { first: !long && k % halfSum === 0 })}\n${end % halfSum === 0 && end < depth ? flush : ""}`;
  });
  const scale = (row: string) => half ? ` * row_scales[min(${row}, params.rows - 1u)]` : "";
  const finish = split ? "store_part(group.z, " : "store(";
  const step = `
    workgroupBarrier();
    ${put(a)}
    ${put(w)}
    workgroupBarrier();
    k += ${depth}u;
    if (k < end) {
      ${fetch(a)}
      ${fetch(w)}
    }
${multiply}`;
  return {
    label: `linear ${form} tile ${tileName(tile)}${half ? ` sums of ${halfSum}` : ""} ${dtype}${split ? " split" : ""}`,
    tileRows: rows,
    tileColumns: columns,
    code: `${half ? "enable f16;" : ""}
${header(dtype, epilogue, { activations: four })}
${half ? "@group(0) @binding(7) var<storage, read> row_scales: array<f32>;" : ""}
${sums.arrays}
fn store_part(part: u32, row: u32, column: u32, value: f32) {
  if (row < params.rows && column < params.columns) { y[(part * params.rows + row) * params.columns + column] = value; }
}
@compute @workgroup_size(${threads})
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
${sums.place}
  let first_row = group.x * ${rows}u;
  let first_column = group.y * ${columns}u;
  let row_quads = ${half ? `(params.depth + ${depth - 1}u) / ${depth}u * ${deepQuads}u` : "params.depth / 4u"};
  let slice = ${split ? `((params.depth + ${depth - 1}u) / ${depth}u + groups.z - 1u) / groups.z * ${depth}u` : "params.depth"};
  let end = min((group.z + 1u) * slice, params.depth);
  var k = group.z * slice;
${sums.declare}
${declare(a)}
${declare(w)}
  ${fetch(a)}
  ${fetch(w)}
  while (k < end) {
${long ? `for (var step = 0u; step < ${halfSum / depth}u && k < end; step++) { ${step} }` : step}
${flush}
${long ? clear : ""}
  }
${
      sums.sums.map(({ row, column, value }) => {
        const there = `first_row + ${row}`;
        return `${finish}${there}, first_column + ${column}, ${value}${scale(there)});`;
      }).join("\n")
    }
}`,
  };
}
