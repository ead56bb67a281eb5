/**
 * WGSL of what the invocations of a tiled product (`tile_product_wgsl.ts`) hold and do: how tiles lie in workgroup memory, which sums an
 * invocation has, and how they grow.
 *
 * Sums in fours: a vector of sums is four columns of y, and a number of `a` is multiplied with four of `w`. Sums in pairs: a vector of f16 is two
 * sums of one number of y, of every other product each, and two numbers of `a` are multiplied with two of `w`.
 *
 * GPUs multiply f16 two at a time. NVIDIA's compiler hands such products to two pipes in turn, but only where both factors are pairs as they lie in
 * memory, and to one of them where a number meets a whole vector. So `a` may lie there with two copies of each number, or products be summed in pairs,
 * which read two thirds of what copies read.
 */
import type { ProductTile } from "./tile_product_wgsl.ts";

/** One factor's tile. */
export interface FactorTile {
  /** Name of the factor. */
  readonly name: "a" | "w";
  /** Rows (columns of y) of the tile. */
  readonly length: number;
  /** Whether the summed dimension runs along its rows in memory. */
  readonly along: boolean;
}

/** A number of y that an invocation holds. */
export interface TileSum {
  /** Its row in the tile, an expression. */
  readonly row: string;
  /** Its column in the tile. */
  readonly column: string;
  /** It, f32. */
  readonly value: string;
}

/** Pieces of WGSL. */
export interface TileSums {
  /** Sums of a number of y in f16, and numbers of the summed dimension that `multiply` takes: 2 where each is of every other product. */
  readonly chains: 1 | 2;
  /** The tiles in workgroup memory, with their types. */
  readonly arrays: string;
  /** Constants of the invocation. */
  readonly place: string;
  /** Declares the sums, zero. */
  readonly declare: string;
  /** Adds f16 sums to those of f32; nothing where there are none. */
  readonly flush: string;
  /** Clears f16 sums. */
  readonly clear: string;
  /** Everything an invocation sums. */
  readonly sums: readonly TileSum[];
  /** Declares the place `across`, `deep` of a block of four rows (columns of y) and four numbers of the summed dimension, from its number `block`. */
  blockPlace(factor: FactorTile): string;
  /**
   * Writes a block to a tile: `b0` to `b3` are its rows where the summed dimension runs along them, otherwise its columns.
   */
  put(factor: FactorTile): string;
  /** Sums += products of the tiles' numbers from place `k` of the summed dimension on; `first`: f16 sums are those products, whatever they were. */
  multiply(k: number, options?: { first: boolean }): string;
}

const range = (n: number): number[] => Array.from({ length: n }, (_, i) => i);
const lines = (n: number, line: (i: number) => string): string => range(n).map(line).join("\n");
const part = (i: number): string => "xyzw"[i];

/** The block that `put` was given, the other way round: vector number `i` of it, of the type `four`. */
const turned = (four: string, i: number): string => `${four}(${range(4).map((r) => `b${r}.${part(i)}`).join(", ")})`;

/** Invocations of a workgroup below each other and side by side. */
export function invocationsOf({ rows, columns }: ProductTile): { down: number; across: number } {
  return { down: rows / 8, across: columns / 8 };
}

/** The pieces for a tile. */
export function tileSums(tile: ProductTile, { depth }: { depth: number }): TileSums {
  const { across } = invocationsOf(tile);
  const common = { place: `let tx = thread % ${across}u;\nlet ty = thread / ${across}u;` };
  return { ...common, ...(tile.pairs ? sumsInPairs : sumsInFours)(tile, depth) };
}

type Rest = Omit<TileSums, "place">;

const inOrder = (depth: number) => ({ length, along }: FactorTile): string =>
  along
    ? `let deep = block % ${depth / 4}u; let across = block / ${depth / 4}u;`
    : `let deep = block / ${length / 4}u; let across = block % ${length / 4}u;`;

function sumsInFours(tile: ProductTile, depth: number): Rest {
  const { rows, columns, half } = tile;
  const copies = tile.copies ? 2 : 1;
  const four = half ? "vec4<f16>" : "vec4<f32>";
  const each = (line: (i: number, g: number) => string) => lines(8, (i) => lines(2, (g) => line(i, g)));
  const at = (name: "a" | "w", k: number) => `tile_${name}[${k >> 2}].k[${k & 3}]`;
  const readA = (k: number, group: number) =>
    copies === 1
      ? `let va${group} = ${at("a", k)}[ty + ${group * rows / 8}u];`
      : range(2).map((n) => `let va${group}_${n} = ${at("a", k)}[2u * ty + ${group * rows / 4 + n}u];`).join(" ");
  const numberOfA = (i: number) =>
    copies === 1 ? `${four}(va${i >> 2}.${part(i & 3)})` : `va${i >> 2}_${(i >> 1) & 1}.${i & 1 ? "zwzw" : "xyxy"}`;
  const put = (name: "a" | "w", s: number, value: string) =>
    name === "a" && copies === 2
      ? `{ let v = ${value}; tile_a[deep].k[${s}][2u * across] = v.xxyy; tile_a[deep].k[${s}][2u * across + 1u] = v.zzww; }`
      : `tile_${name}[deep].k[${s}][across] = ${value};`;
  return {
    chains: 1,
    arrays: `// [k / 4].k[k % 4][row / ${
      4 / copies
    }], [k / 4].k[k % 4][column / 4]; neighbours, which write every fourth k, write to different banks
struct FoursOfA { k: array<array<${four}, ${copies * rows / 4}>, 4>, gap: array<${four}, 2> }
struct FoursOfW { k: array<array<${four}, ${columns / 4}>, 4>, gap: array<${four}, 2> }
var<workgroup> tile_a: array<FoursOfA, ${depth / 4}>;
var<workgroup> tile_w: array<FoursOfW, ${depth / 4}>;`,
    declare: each((i, g) => `var c${i}_${g} = vec4<f32>();${half ? ` var h${i}_${g} = ${four}();` : ""}`),
    flush: half ? each((i, g) => `c${i}_${g} += vec4<f32>(h${i}_${g});`) : "",
    clear: half ? each((i, g) => `h${i}_${g} = ${four}();`) : "",
    sums: range(64).map((n) => {
      const [i, g, s] = [n >> 3, (n >> 2) & 1, n & 3];
      return {
        row: `${rows / 2 * (i >> 2)}u + 4u * ty + ${i & 3}u`,
        column: `${columns / 2 * g}u + 4u * tx + ${s}u`,
        value: `c${i}_${g}.${part(s)}`,
      };
    }),
    blockPlace: inOrder(depth),
    put: ({ name, along }) => lines(4, (s) => put(name, s, along ? turned(four, s) : `b${s}`)),
    multiply: (k, { first } = { first: false }) =>
      `{ ${range(2).map((g) => `${readA(k, g)} let vw${g} = ${at("w", k)}[tx + ${g * columns / 8}u];`).join(" ")}
${
        each((i, g) => {
          const sum = `${half ? "h" : "c"}${i}_${g}`;
          return half && first ? `${sum} = ${numberOfA(i)} * vw${g};` : `${sum} = fma(${numberOfA(i)}, vw${g}, ${sum});`;
        })
      } }`,
  };
}

function sumsInPairs({ rows, columns }: ProductTile, depth: number): Rest {
  const each = (line: (i: number, j: number) => string) => lines(8, (i) => lines(8, (j) => line(i, j)));
  const sizes = { a: rows, w: columns };
  const read = (name: "a" | "w", k: number, group: number) =>
    `let v${name}${group} = tile_${name}[${k / 2}][t${name === "a" ? "y" : "x"} + ${group * sizes[name] / 8}u];`;
  const two = (name: "a" | "w", i: number) => `v${name}${i >> 2}.${i & 2 ? "second" : "first"}.${i & 1 ? "zw" : "xy"}`;
  const twos = (along: boolean, p: number, rows: number[]) =>
    along
      ? `vec4<f16>(${rows.map((r) => `b${r}.${p ? "zw" : "xy"}`).join(", ")})`
      : `vec4<f16>(${rows.flatMap((r) => [`b${2 * p}.${part(r)}`, `b${2 * p + 1}.${part(r)}`]).join(", ")})`;
  return {
    chains: 2,
    arrays: `// two numbers of the summed dimension of four rows (columns of y)
struct Twos { first: vec4<f16>, second: vec4<f16> }
// [k / 2][row / 4], [k / 2][column / 4], and one more between, so that neighbours write to different banks
var<workgroup> tile_a: array<array<Twos, ${rows / 4 + 1}>, ${depth / 2}>;
var<workgroup> tile_w: array<array<Twos, ${columns / 4 + 1}>, ${depth / 2}>;`,
    declare: each((i, j) => `var c${i}_${j} = 0.0; var h${i}_${j} = vec2<f16>();`),
    flush: each((i, j) => `c${i}_${j} += f32(h${i}_${j}.x) + f32(h${i}_${j}.y);`),
    clear: each((i, j) => `h${i}_${j} = vec2<f16>();`),
    sums: range(64).map((n) => {
      const [i, j] = [n >> 3, n & 7];
      return {
        row: `${rows / 2 * (i >> 2)}u + 4u * ty + ${i & 3}u`,
        column: `${columns / 2 * (j >> 2)}u + 4u * tx + ${j & 3}u`,
        value: `c${i}_${j}`,
      };
    }),
    // Eight invocations in a row write 128 bytes at a time: four places deep, two across.
    blockPlace: (factor) =>
      factor.along
        ? `let deep = block % 4u + block / 8u % ${depth / 16}u * 4u; let across = block / 4u % 2u + block / ${depth / 2}u * 2u;`
        : inOrder(depth)(factor),
    // Half by half: as wholes they would go by way of memory with some compilers.
    put: ({ name, along }) =>
      lines(2, (p) => {
        const to = `tile_${name}[2u * deep + ${p}u][across]`;
        return `${to}.first = ${twos(along, p, [0, 1])}; ${to}.second = ${twos(along, p, [2, 3])};`;
      }),
    multiply: (k, { first } = { first: false }) =>
      `{ ${range(2).map((g) => `${read("a", k, g)} ${read("w", k, g)}`).join(" ")}
${
        each((i, j) => {
          const [sum, a, w] = [`h${i}_${j}`, two("a", i), two("w", j)];
          return first ? `${sum} = ${a} * ${w};` : `${sum} = fma(${a}, ${w}, ${sum});`;
        })
      } }`,
  };
}
