/**
 * WGSL of what the invocations of a tiled product (`tile_product_wgsl.ts`) hold and do: how tiles lie in workgroup memory, which sums an
 * invocation has, and how they grow. A vector of sums is four columns of y, and a number of `a` is multiplied with four of `w`.
 *
 * GPUs multiply f16 two at a time. NVIDIA's compiler hands such products to two pipes in turn, but only where both factors are pairs as they lie in
 * memory, and to one of them where a number meets a whole vector. So `a` may lie there with two copies of each number.
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
  /** Adds f16 sums to those of f32; nothing where there are none. */
  readonly flush: string;
  /** Clears f16 sums. */
  readonly clear: string;
  /** Everything an invocation sums. */
  readonly sums: readonly TileSum[];
  /**
   * Writes a block of four rows (columns of y) and four numbers of the summed dimension to a tile, its place being `across` and `deep`: `b0` to
   * `b3` are its rows where the summed dimension runs along them, otherwise its columns.
   */
  put(factor: FactorTile): string;
  /** Sums += products of the tiles' numbers at place `k` of the summed dimension; `first`: f16 sums are those products, whatever they were. */
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
  const { rows, columns, half } = tile;
  const copies = tile.copies ? 2 : 1;
  const four = half ? "vec4<f16>" : "vec4<f32>";
  const { across } = invocationsOf(tile);
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
    arrays: `// [k / 4].k[k % 4][row / ${
      4 / copies
    }], [k / 4].k[k % 4][column / 4]; neighbours, which write every fourth k, write to different banks
struct FoursOfA { k: array<array<${four}, ${copies * rows / 4}>, 4>, gap: array<${four}, 2> }
struct FoursOfW { k: array<array<${four}, ${columns / 4}>, 4>, gap: array<${four}, 2> }
var<workgroup> tile_a: array<FoursOfA, ${depth / 4}>;
var<workgroup> tile_w: array<FoursOfW, ${depth / 4}>;`,
    place: `let tx = thread % ${across}u;\nlet ty = thread / ${across}u;`,
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
