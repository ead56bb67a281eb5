/**
 * WGSL of the matrix products for GPUs: tiles in workgroup memory, 8 × 8 sums an invocation, the next tiles on their way from memory while this
 * one is multiplied. Letters and forms as in `product_wgsl.ts`.
 *
 * With `half`, activations are f16 rows with a power of two each (`half_rows.wgsl`), weights are rounded to f16, and products are summed in f16
 * over `halfSum` numbers, then in f32. The error of these sums grows with the square root of that number.
 */
import { type Epilogue, type Form, header, type ProductWgsl } from "./product_wgsl.ts";
import { storageWgsl } from "./storage_wgsl.ts";
import type { WeightType } from "./weight_types.ts";

/** What a workgroup computes, an invocation for every 8 × 8 sums. */
export interface ProductTile {
  /** Rows of its part of y. */
  readonly rows: 64 | 128;
  /** Columns of its part of y. */
  readonly columns: 64 | 128;
  /** Whether factors are f16. */
  readonly half: boolean;
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
  /** Whether workgroups along z compute parts of the sum, to be added afterwards. */
  split: boolean;
}

const range = (n: number): number[] => Array.from({ length: n }, (_, i) => i);
const lines = (n: number, line: (i: number) => string): string => range(n).map(line).join("\n");
const part = (i: number): string => "xyzw"[i];

/** A factor's way to workgroup memory, in blocks of four rows (columns of y) and four numbers of the summed dimension. */
interface Factor {
  /** Name of the array, and of the registers. */
  name: "a" | "w";
  /** Rows (columns of y) of the tile. */
  length: number;
  /** Whether the summed dimension runs along its rows in memory, so that blocks have to be transposed. */
  along: boolean;
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
export function tileProduct(form: Form, { dtype, epilogue, tile, halfSum = HALF_SUM, split }: TileProductOptions): ProductWgsl {
  const { rows, columns, half } = tile;
  const storage = storageWgsl(dtype);
  const number = half ? "f16" : "f32";
  const four = `vec4<${number}>`;
  const depth = tileDepth(tile);
  const deepQuads = depth / 4;
  const [down, across] = [rows / 8, columns / 8]; // invocations
  const threads = down * across;
  const widen = (value: string) => half ? `${four}(${value})` : value;
  // What is beyond the range of f16 becomes its largest numbers.
  const bounded = (value: string) => half && dtype !== "f16" ? `clamp(${widen(value)}, ${four}(-65504.0), ${four}(65504.0))` : widen(value);
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
      ? { type: four, load: (r) => bounded(storage.read4(placeW(r))), value: (raw) => raw }
      : { type: storage.four, load: (r) => `w[${placeW(r)}]`, value: (raw) => bounded(`unpack4(${raw})`) }),
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
  // A tile lies as [k][row or column]; within a group of four k the vectors are permuted, so that neighbours write to different banks.
  const swizzle = ({ length }: Factor) => Math.min(length / 8, deepQuads, 8) - 1;
  const put = (factor: Factor) =>
    each(factor, (i) =>
      `${lines(4, (r) => `let b${r} = ${factor.value(register(factor, i, r))};`)}
let to = across ^ (deep & ${swizzle(factor)}u);
${
        lines(4, (s) =>
          `tile_${factor.name}[4u * deep + ${s}u][to] = ${
            factor.along
              ? `${four}(${range(4).map((r) => `b${r}.${part(s)}`).join(", ")})`
              : `b${s}`
          };`)
      }`);
  const declare = (factor: Factor) => lines(rounds(factor), (i) => lines(4, (r) => `var ${register(factor, i, r)} = ${factor.type}();`));
  const accumulators = half ? "h" : "c";
  const sums = (line: (i: number, g: number) => string) => lines(8, (i) => lines(2, (g) => line(i, g)));
  const flush = half ? sums((i, g) => `c${i}_${g} += vec4<f32>(h${i}_${g}); h${i}_${g} = ${four}();`) : "";
  const multiply = lines(depth, (k) => {
    const read = ({ name, length }: Factor, lane: string, group: number) =>
      `tile_${name}[${k}][${group * length / 8}u + (${lane} ^ ${(k >> 2) & swizzle(name === "a" ? a : w)}u)]`;
    return `{ ${range(2).map((g) => `let va${g} = ${read(a, "ty", g)}; let vw${g} = ${read(w, "tx", g)};`).join(" ")}
${
      lines(8, (i) =>
        range(2).map((g) => {
          const sum = `${accumulators}${i}_${g}`;
          return `${sum} = fma(${four}(va${i >> 2}.${part(i & 3)}), vw${g}, ${sum});`;
        }).join(" "))
    } }
${(k + 1) % halfSum === 0 && k + 1 < depth ? flush : ""}`;
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
    label: `linear ${form} tile ${rows}x${columns} ${half ? `${number} sums of ${halfSum}` : number} ${dtype}${split ? " split" : ""}`,
    tileRows: rows,
    tileColumns: columns,
    code: `${half ? "enable f16;" : ""}
${header(dtype, epilogue, { activations: four })}
${half ? "@group(0) @binding(7) var<storage, read> row_scales: array<f32>;" : ""}
// [k][row / 4], [k][column / 4]
var<workgroup> tile_a: array<array<${four}, ${rows / 4}>, ${depth}>;
var<workgroup> tile_w: array<array<${four}, ${columns / 4}>, ${depth}>;
fn store_part(part: u32, row: u32, column: u32, value: f32) {
  if (row < params.rows && column < params.columns) { y[(part * params.rows + row) * params.columns + column] = value; }
}
@compute @workgroup_size(${threads})
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
  let tx = thread % ${across}u;
  let ty = thread / ${across}u;
  let first_row = group.x * ${rows}u;
  let first_column = group.y * ${columns}u;
  let row_quads = ${half ? `(params.depth + ${depth - 1}u) / ${depth}u * ${deepQuads}u` : "params.depth / 4u"};
  let slice = ${split ? `((params.depth + ${depth - 1}u) / ${depth}u + groups.z - 1u) / groups.z * ${depth}u` : "params.depth"};
  let end = min((group.z + 1u) * slice, params.depth);
  var k = group.z * slice;
${sums((i, g) => `var c${i}_${g} = vec4<f32>();`)}
${half ? sums((i, g) => `var h${i}_${g} = ${four}();`) : ""}
${declare(a)}
${declare(w)}
  ${fetch(a)}
  ${fetch(w)}
  while (k < end) {
${halfSum > depth ? `for (var step = 0u; step < ${halfSum / depth}u && k < end; step++) { ${step} }` : step}
${flush}
  }
${
      sums((i, g) => {
        const row = `first_row + ${rows / 2 * (i >> 2)}u + 4u * ty + ${i & 3}u`;
        return lines(
          4,
          (s) => `${finish}${row}, first_column + ${columns / 2 * g}u + 4u * tx + ${s}u, c${i}_${g}.${part(s)}${scale(row)});`,
        );
      })
    }
}`,
  };
}
