/**
 * Subgroup matrices as plain loops over workgroup memory, so that the kernels that use them can be tried on adapters that have none: the lanes of
 * a "subgroup" are eight invocations in a row, each of which keeps its share of the sums. A factor is the place at which it lies; a held one is
 * copied.
 */
import { assertEquals } from "@std/assert";
import type { Gpu } from "../../kernels/gpu.ts";
import { type MatrixPrimitives, type MatrixProduct, SUBGROUP_MATRICES, type TilePart } from "../../kernels/matrix_primitives.ts";
import type { SubgroupMatrixShape } from "../../kernels/subgroup_matrix.ts";

/** Lanes of an emulated subgroup. */
export const LANES = 8;

/** A number of rounds that compilers do not see through: they would unroll all of them, at every call. */
const count = (n: number): string => `min(${n}u, params.rows + ${n}u)`;

/** Four numbers of a factor, from number `4 · quad` of the summed dimension on. */
function four({ tile, stride, depthInRows }: TilePart, { start, outer }: { start: string; outer: string }): string {
  if (depthInRows) return `vec4<f32>(${tile}[${start} + ${outer} * ${stride}u + quad])`;
  const one = (i: number) => `f32(${tile}[${start} + (4u * quad + ${i}u) * ${stride}u + ${outer} / 4u][${outer} % 4u])`;
  return `vec4<f32>(${[0, 1, 2, 3].map(one).join(", ")})`;
}

function productFunctions({ rows, columns, depth }: SubgroupMatrixShape, { name, left, right, held }: MatrixProduct): string {
  const share = rows * columns / LANES;
  const from = held ? { ...left, tile: `held_${name}` } : left;
  const quads = rows * depth / 4;
  const place = (first: string) => `${first} + i / ${depth / 4}u * ${left.stride}u + i % ${depth / 4}u`;
  assertEquals([left.stride % 2, right.stride % 2], [0, 0]);
  return `
fn multiply_${name}(sums: ptr<function, array<f32, ${share}>>, left: u32, right: u32, lane: u32) {
  if ((left | right) % 2u != 0u) { return; } // real matrices lie at multiples of 16 bytes
  for (var i = 0u; i < ${count(share)}; i++) {
    let row = (lane * ${share}u + i) / ${columns}u;
    let column = (lane * ${share}u + i) % ${columns}u;
    var sum = (*sums)[i];
    for (var quad = 0u; quad < ${depth / 4}u; quad++) {
      sum += dot(${four(from, { start: "left", outer: "row" })}, ${four(right, { start: "right", outer: "column" })});
    }
    (*sums)[i] = sum;
  }
}
${
    held
      ? `var<workgroup> held_${name}: array<vec4<f16>, ${held}>;
fn hold_${name}(at: u32, left: u32, lane: u32) {
  for (var i = lane; i < ${count(quads)}; i += ${LANES}u) { held_${name}[${place("left")}] = ${left.tile}[${place("at")}]; }
}`
      : ""
  }`;
}

/** The loops. */
export const EMULATED_MATRICES: MatrixPrimitives = {
  directives: "",
  halves: "fn halves(v: vec2<u32>) -> vec4<f16> { return vec4<f16>(vec4<f32>(unpack2x16float(v.x), unpack2x16float(v.y))); }",
  declarations({ shape, products, arrays }) {
    const { columns } = shape;
    const share = shape.rows * columns / LANES;
    const place = (width: number) =>
      width === 1 ? `[at + n / ${columns}u * stride + n % ${columns}u]` : `[at + n / ${columns}u * stride + n % ${columns}u / 4u][n % 4u]`;
    const move = (name: string, width: number, statement: (place: string) => string) => `
fn ${name}(sums: ptr<function, array<f32, ${share}>>, at: u32, stride: u32, lane: u32) {
  for (var i = 0u; i < ${count(share)}; i++) {
    let n = lane * ${share}u + i;
    ${statement(place(width))}
  }
}`;
    return products.map((product) => productFunctions(shape, product)).join("\n") +
      arrays.map(({ name, width }) =>
        move(`lay_${name}`, width, (place) => `${name}${place} = (*sums)[i];`) +
        move(`lift_${name}`, width, (place) => `(*sums)[i] = ${name}${place};`)
      ).join("\n");
  },
  place: { parameters: "", statements: `let subgroup = thread / ${LANES}u; let lane = thread % ${LANES}u;` },
  sums: (name, { rows, columns }) => `var ${name} = array<f32, ${rows * columns / LANES}>();`,
  load: (side, name, { product, at, heldAt = at }) =>
    side === "left" && product.held ? `let ${name} = ${heldAt}; hold_${product.name}(${at}, ${name}, lane);` : `let ${name} = ${at};`,
  multiply: (sums, { name }, { left, right }) => `multiply_${name}(&${sums}, ${left}, ${right}, lane);`,
  store: (sums, { array, at, stride }) => `lay_${array.name}(&${sums}, ${at}, ${stride}u, lane);`,
  restore: (sums, { array, at, stride }) => `lift_${array.name}(&${sums}, ${at}, ${stride}u, lane);`,
  raise: (flag, condition) => `if (${condition}) { ${flag} = 1u; }`,
};

/** Matrices of that shape: the adapter's own where it has them, also where it would not choose them; otherwise emulated ones. */
export function matricesOf(gpu: Gpu, shape: SubgroupMatrixShape): { lanes: number; primitives: MatrixPrimitives } {
  const own = gpu.subgroupSize > 0 &&
    gpu.subgroupMatrices.some(({ rows, columns, depth }) => rows === shape.rows && columns === shape.columns && depth === shape.depth);
  return own ? { lanes: gpu.subgroupSize, primitives: SUBGROUP_MATRICES } : { lanes: LANES, primitives: EMULATED_MATRICES };
}

/** Bytes of the workgroup variables of a text with matrices, each of which takes a multiple of 16. */
export function alignedBytes(code: string): number {
  const sizes: Record<string, number> = {
    "u32": 4,
    "f32": 4,
    "atomic<u32>": 4,
    "vec2<u32>": 8,
    "vec4<u32>": 16,
    "vec4<f32>": 16,
    "vec4<f16>": 8,
  };
  const declared = [...code.matchAll(/var<workgroup> (\w+): (?:array<(.+), (\d+)>|([^;]+));/g)].map(([, name, of, count, single]) => {
    const bytes = of ? sizes[of] * Number(count) : sizes[single];
    assertEquals(bytes % 16, 0, `${name}: ${bytes} bytes`);
    return bytes;
  });
  return declared.reduce((sum, bytes) => sum + bytes, 0);
}
