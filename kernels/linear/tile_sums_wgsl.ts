/**
 * WGSL of what the invocations of a tiled product (`tile_product_wgsl.ts`) hold and do: how tiles lie in workgroup memory, which sums an
 * invocation has, and how they grow. Two ways:
 *
 * - {@linkcode sumsInFours}: a vector of sums is four columns of y, and a number of `a` is multiplied with four of `w`. What is taken unless
 *   something else was measured to be faster.
 * - {@linkcode sumsInPairs}, for f16: a vector of sums is one number of y, whose first part sums the products at even places of the summed
 *   dimension and whose second part those at odd ones. It reads least from workgroup memory, and takes the most registers.
 *
 * Some compilers multiply f16 two at a time only where both factors are pairs as they lie in memory: they take a number that meets a whole vector
 * as a reason to multiply one by one. So it is in pairs of sums, and in fours where `a` lies in memory with two copies of each number.
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
  /** The tiles in workgroup memory, with their types. */
  readonly arrays: string;
  /** Constants of the invocation. */
  readonly place: string;
  /** Declares the sums, zero. */
  readonly declare: string;
  /** Depth over which f16 sums may grow before `flush`, for `halfSum` products in each. */
  readonly period: number;
  /** Numbers of the summed dimension that one `multiply` takes. */
  readonly width: number;
  /** Adds f16 sums to those of f32 and clears them; nothing where there are none. */
  readonly flush: string;
  /** Everything an invocation sums. */
  readonly sums: readonly TileSum[];
  /**
   * Writes a block of four rows (columns of y) and four numbers of the summed dimension to a tile, its place being `across` and `deep`: `b0` to
   * `b3` are its rows where the summed dimension runs along them, otherwise its columns.
   */
  put(factor: FactorTile): string;
  /** Sums += products of the numbers number `step` · `width` on of the tiles. */
  multiply(step: number): string;
}

const range = (n: number): number[] => Array.from({ length: n }, (_, i) => i);
const lines = (n: number, line: (i: number) => string): string => range(n).map(line).join("\n");
const part = (i: number): string => "xyzw"[i];

/** The block that `put` was given, the other way round: vector number `i` of it, of the type `four`. */
const turned = (four: string, i: number): string => `${four}(${range(4).map((r) => `b${r}.${part(i)}`).join(", ")})`;

/** Invocations of a workgroup below each other and side by side. */
export function invocationsOf({ rows, columns, each = 8 }: ProductTile): { down: number; across: number } {
  return { down: rows / each, across: columns / 8 };
}

/** Sums as vectors of four columns. */
export function sumsInFours(tile: ProductTile, options: { depth: number; halfSum: number }): TileSums {
  const { rows, columns, half } = tile;
  const { depth, halfSum } = options;
  const copies = tile.pairs === "copies" ? 2 : 1;
  const four = half ? "vec4<f16>" : "vec4<f32>";
  const { across } = invocationsOf(tile);
  const each = (line: (i: number, g: number) => string) => lines(8, (i) => lines(2, (g) => line(i, g)));
  const readA = (k: number, group: number) =>
    copies === 1
      ? `let va${group} = tile_a[${k}][ty + ${group * rows / 8}u];`
      : range(2).map((n) => `let va${group}_${n} = tile_a[${k}][2u * ty + ${group * rows / 4 + n}u];`).join(" ");
  const numberOfA = (i: number) =>
    copies === 1 ? `${four}(va${i >> 2}.${part(i & 3)})` : `va${i >> 2}_${(i >> 1) & 1}.${i & 1 ? "zwzw" : "xyxy"}`;
  const put = (name: "a" | "w", s: number, value: string) =>
    name === "a" && copies === 2
      ? `{ let v = ${value}; tile_a[4u * deep + ${s}u][2u * across] = v.xxyy; tile_a[4u * deep + ${s}u][2u * across + 1u] = v.zzww; }`
      : `tile_${name}[4u * deep + ${s}u][across] = ${value};`;
  return {
    arrays: `// [k][row / ${4 / copies}], [k][column / 4], and a vector between rows, so that neighbours write to different banks
var<workgroup> tile_a: array<array<${four}, ${copies * rows / 4 + copies}>, ${depth}>;
var<workgroup> tile_w: array<array<${four}, ${columns / 4 + 1}>, ${depth}>;`,
    place: `let tx = thread % ${across}u;\nlet ty = thread / ${across}u;`,
    declare: each((i, g) => `var c${i}_${g} = vec4<f32>();${half ? ` var h${i}_${g} = ${four}();` : ""}`),
    period: halfSum,
    width: 1,
    flush: half ? each((i, g) => `c${i}_${g} += vec4<f32>(h${i}_${g}); h${i}_${g} = ${four}();`) : "",
    sums: range(64).map((n) => {
      const [i, g, s] = [n >> 3, (n >> 2) & 1, n & 3];
      return {
        row: `${rows / 2 * (i >> 2)}u + 4u * ty + ${i & 3}u`,
        column: `${columns / 2 * g}u + 4u * tx + ${s}u`,
        value: `c${i}_${g}.${part(s)}`,
      };
    }),
    put: ({ name, along }) => lines(4, (s) => put(name, s, along ? turned(four, s) : `b${s}`)),
    multiply: (k) =>
      `{ ${range(2).map((g) => `${readA(k, g)} let vw${g} = tile_w[${k}][tx + ${g * columns / 8}u];`).join(" ")}
${
        each((i, g) => {
          const sum = `${half ? "h" : "c"}${i}_${g}`;
          return `${sum} = fma(${numberOfA(i)}, vw${g}, ${sum});`;
        })
      } }`,
  };
}

/** Lanes of a subgroup side by side and below each other, where it has 32: then a load is for 8 columns, or for 4 rows, 16 bytes each. */
const LANES = { across: 8, down: 4 };

/** Sums as pairs of f16, each for one number of y. */
export function sumsInPairs(tile: ProductTile, options: { depth: number; halfSum: number }): TileSums {
  const { rows, columns, each = 8 } = tile;
  const { depth, halfSum } = options;
  const { down, across } = invocationsOf(tile);
  const sum = (line: (i: number, j: number) => string) => lines(each, (i) => lines(8, (j) => line(i, j)));
  const lanes = LANES.across * LANES.down;
  const sideBySide = across / LANES.across; // subgroups
  /** Twos number `group` of an invocation; their last bit is turned, so that neighbours that write read and write different banks. */
  const read = (name: "a" | "w", step: number, group: number) => {
    const [stride, lane] = name === "a" ? [down, "ty"] : [across, "tx"];
    const bit = (step ^ (group * stride >> 3)) & 1;
    return `tile_${name}[${step}][${group * stride}u + ${lane}_${bit}]`;
  };
  const names = (name: string, count: number) => range(count).flatMap((g) => [`${name}${g}.first`, `${name}${g}.second`]);
  return {
    arrays: `// four numbers of the summed dimension of two rows (two columns of y)
struct Two { first: vec4<f16>, second: vec4<f16> }
// [k / 4][row / 2], [k / 4][column / 2]
var<workgroup> tile_a: array<array<Two, ${rows / 2}>, ${depth / 4}>;
var<workgroup> tile_w: array<array<Two, ${columns / 2}>, ${depth / 4}>;`,
    place: `let tx = thread % ${LANES.across}u + ${LANES.across}u * (thread / ${lanes}u % ${sideBySide}u);
let ty = thread / ${LANES.across}u % ${LANES.down}u + ${LANES.down}u * (thread / ${lanes * sideBySide}u);
let tx_0 = tx ^ ((tx >> 3u) & 1u);
let tx_1 = tx_0 ^ 1u;
let ty_0 = ty ^ ((ty >> 3u) & 1u);
let ty_1 = ty_0 ^ 1u;`,
    declare: sum((i, j) => `var c${i}_${j} = 0.0; var h${i}_${j} = vec2<f16>();`),
    period: 2 * halfSum,
    width: 4,
    flush: sum((i, j) => `c${i}_${j} += f32(h${i}_${j}.x) + f32(h${i}_${j}.y); h${i}_${j} = vec2<f16>();`),
    sums: range(8 * each).map((n) => {
      const [i, j] = [n >> 3, n & 7];
      return {
        row: `2u * (ty + ${down * (i >> 1)}u) + ${i & 1}u`,
        column: `2u * (tx + ${across * (j >> 1)}u) + ${j & 1}u`,
        value: `c${i}_${j}`,
      };
    }),
    put: ({ name, along }) => {
      const vector = (s: number) => along ? `b${s}` : turned("vec4<f16>", s);
      return lines(
        2,
        (t) => `tile_${name}[deep][(2u * across + ${t}u) ^ ((deep ^ (across >> 2u)) & 1u)] = Two(${vector(2 * t)}, ${vector(2 * t + 1)});`,
      );
    },
    multiply: (step) => {
      const [a, w] = [names("va", each / 2), names("vw", 4)];
      return `{ ${range(each / 2).map((g) => `let va${g} = ${read("a", step, g)};`).join(" ")}
${range(4).map((g) => `let vw${g} = ${read("w", step, g)};`).join(" ")}
${["xy", "zw"].map((two) => sum((i, j) => `h${i}_${j} = fma(${a[i]}.${two}, ${w[j]}.${two}, h${i}_${j});`)).join("\n")} }`;
    },
  };
}
