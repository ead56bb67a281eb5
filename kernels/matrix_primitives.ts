/**
 * What kernels do with subgroup matrices, as WGSL: Tint's experimental builtins, which tests replace by loops on adapters that have none.
 * Factors are f16 and lie in workgroup memory as vectors of four, sums are f32.
 *
 * Vulkan wants matrices in memory at multiples of 16 bytes (VUID-RuntimeSpirv-OpCooperativeMatrixLoadKHR-08986), and drivers put a kernel's workgroup
 * variables one behind the other, aligned as their elements are: f16 vectors at multiples of 8. So every workgroup variable of a kernel with
 * matrices takes a multiple of 16 bytes, and every place and stride of matrices is one, too.
 */
import type { SubgroupMatrixShape } from "./subgroup_matrix.ts";

/** Where factors lie in workgroup memory, in vectors of four f16. */
export interface TilePart {
  /** The array's name. */
  readonly tile: string;
  /** Whether the summed dimension runs along the array's rows. */
  readonly depthInRows: boolean;
  /** Vectors from row to row. */
  readonly stride: number;
}

/** A product that a kernel computes: sums (M, N) += left (M, K) · right (K, N). */
export interface MatrixProduct {
  /** Tells the kernel's products apart. */
  readonly name: string;
  /** Where left factors lie, unless they are held. */
  readonly left: TilePart;
  /** Where right factors lie. */
  readonly right: TilePart;
  /** Where left factors are kept while what stands at their place changes: the size of their array, in vectors of four. */
  readonly held?: number;
}

/** What a kernel needs of matrices. */
export interface Declarations {
  /** Sizes of the matrices. */
  shape: SubgroupMatrixShape;
  /** Lanes of a subgroup. */
  lanes: number;
  /** Its products. */
  products: readonly MatrixProduct[];
  /** Workgroup arrays that sums are written to or read from. */
  arrays: readonly SumsArray[];
}

/** A workgroup array of f32, or of vectors of four of them. */
export interface SumsArray {
  /** Its name. */
  readonly name: string;
  /** Numbers of an element. */
  readonly width: 1 | 4;
}

/** Place of sums in a workgroup array, in elements of it. */
export interface SumsPlace {
  /** Sizes of the matrices. */
  shape: SubgroupMatrixShape;
  /** The array. */
  array: SumsArray;
  /** The first element. */
  at: string;
  /** From row to row. */
  stride: number;
}

/** Text of what is done with matrices. */
export interface MatrixPrimitives {
  /** `enable` lines. */
  readonly directives: string;
  /** `fn halves(v: vec2<u32>) -> vec4<f16>`: the numbers whose bits v holds. */
  readonly halves: string;
  /** Functions. */
  declarations(options: Declarations): string;
  /** Parameters of `main` that name the number of the `subgroup` and of the `lane` in it, or what computes them. */
  readonly place: { parameters: string; statements: string };
  /** Declares a variable of sums, zero. */
  sums(name: string, shape: SubgroupMatrixShape): string;
  /**
   * Loads the left or right factor `name` of a product from place `at`. What is held may have a place of its own among what is, `heldAt`, if others
   * come from the same one.
   */
  load(
    side: "left" | "right",
    name: string,
    options: { shape: SubgroupMatrixShape; product: MatrixProduct; at: string; heldAt?: string },
  ): string;
  /** sums += left · right */
  multiply(sums: string, product: MatrixProduct, factors: { left: string; right: string }): string;
  /** Writes sums. */
  store(sums: string, to: SumsPlace): string;
  /** Reads sums. */
  restore(sums: string, from: SumsPlace): string;
  /** Sets a u32 of workgroup memory, of the subgroup alone and 0 until now, to 1 where a condition holds for one of its lanes. */
  raise(flag: string, condition: string): string;
}

/** The real ones: Tint's `chromium_experimental_subgroup_matrix`, whose types name columns before rows. */
export const SUBGROUP_MATRICES: MatrixPrimitives = {
  directives: "enable chromium_experimental_subgroup_matrix;",
  halves: "fn halves(v: vec2<u32>) -> vec4<f16> { return bitcast<vec4<f16>>(v); }",
  declarations: () => "",
  place: { parameters: "@builtin(subgroup_id) subgroup: u32, @builtin(subgroup_invocation_id) lane: u32", statements: "" },
  // Said in full: a variable without a value keeps the one of the round before in loops, with some compilers.
  sums: (name, { rows, columns }) => `var ${name} = subgroup_matrix_result<f32, ${columns}, ${rows}>();`,
  load(side, name, { shape: { rows, columns, depth }, product, at }) {
    const size = side === "left" ? `${depth}, ${rows}` : `${columns}, ${depth}`;
    const { tile, stride, depthInRows } = product[side];
    const order = depthInRows === (side === "left") ? "row_major" : "col_major";
    return `let ${name} = subgroupMatrixLoad<subgroup_matrix_${side}<f16, ${size}>, ${order}>(&${tile}, ${at}, ${stride}u);`;
  },
  multiply: (sums, _product, { left, right }) => `${sums} = subgroupMatrixMultiplyAccumulate(${left}, ${right}, ${sums});`,
  store: (sums, { array, at, stride }) => `subgroupMatrixStore<row_major>(&${array.name}, ${at}, ${sums}, ${stride}u);`,
  restore: (sums, { shape: { rows, columns }, array, at, stride }) =>
    `${sums} = subgroupMatrixLoad<subgroup_matrix_result<f32, ${columns}, ${rows}>, row_major>(&${array.name}, ${at}, ${stride}u);`,
  raise: (flag, condition) => `if (subgroupAny(${condition}) && lane == 0u) { ${flag} = 1u; }`,
};

/** Beginning of a kernel's `main`, with the number of its `thread`, of the `subgroup` and of the `lane` in it. */
export function matrixMain(threads: number, { place }: MatrixPrimitives): string {
  return `@compute @workgroup_size(${threads})
fn main(
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(num_workgroups) groups: vec3<u32>,
  @builtin(local_invocation_index) thread: u32,
  ${place.parameters}
) {
  ${place.statements}`;
}
