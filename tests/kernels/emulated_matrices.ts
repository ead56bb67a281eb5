/**
 * Subgroup matrices as plain loops over workgroup memory, so that the kernels that use them can be tried on adapters that have none: the lanes of
 * a "subgroup" are eight invocations in a row, each of which keeps its share of the sums. A factor is the place at which it lies.
 */
import type { MatrixPrimitives, TilePart } from "../../kernels/linear/subgroup_matrix_wgsl.ts";

/** Lanes of an emulated subgroup. */
export const LANES = 8;

const element = ({ tile, stride, depthInRows }: TilePart, at: { start: string; outer: string; depth: string }) =>
  depthInRows
    ? `f32(${tile}[${at.start} + ${at.outer} * ${stride}u + ${at.depth} / 4u][${at.depth} % 4u])`
    : `f32(${tile}[${at.start} + ${at.depth} * ${stride}u + ${at.outer} / 4u][${at.outer} % 4u])`;

/** The loops. */
export const EMULATED_MATRICES: MatrixPrimitives = {
  directives: "",
  declarations({ rows, columns, depth }, { a, w }) {
    const share = rows * columns / LANES;
    return `
fn multiply(sums: ptr<function, array<f32, ${share}>>, left: u32, right: u32, lane: u32) {
  for (var i = 0u; i < ${share}u; i++) {
    let row = (lane * ${share}u + i) / ${columns}u;
    let column = (lane * ${share}u + i) % ${columns}u;
    var sum = (*sums)[i];
    for (var k = 0u; k < ${depth}u; k++) {
      sum += ${element(a, { start: "left", outer: "row", depth: "k" })} * ${element(w, { start: "right", outer: "column", depth: "k" })};
    }
    (*sums)[i] = sum;
  }
}
fn lay(sums: ptr<function, array<f32, ${share}>>, at: u32, lane: u32) {
  for (var i = 0u; i < ${share}u; i++) { staging[at + lane * ${share}u + i] = (*sums)[i]; }
}`;
  },
  place: { parameters: "", statements: `let subgroup = thread / ${LANES}u; let lane = thread % ${LANES}u;` },
  sums: (name, { rows, columns }) => `var ${name}: array<f32, ${rows * columns / LANES}>;`,
  load: (_side, name, { at }) => `let ${name} = ${at};`,
  multiply: (sums, left, right) => `multiply(&${sums}, ${left}, ${right}, lane);`,
  store: (sums, { at }) => `lay(&${sums}, ${at}, lane);`,
};
