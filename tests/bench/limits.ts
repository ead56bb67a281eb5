/** What an adapter can do at most, measured by small kernels: bytes copied a second, and multiplications with additions a second. */
import type { Gpu } from "../../kernels/gpu.ts";
import { matrixMain, type MatrixProduct, SUBGROUP_MATRICES, type SumsArray } from "../../kernels/matrix_primitives.ts";
import { Plan } from "../../kernels/plan.ts";
import { largestMatrices, type SubgroupMatrixShape } from "../../kernels/subgroup_matrix.ts";

/** Rates of an adapter. */
export interface Limits {
  /** Bytes read and written a second by a copy. */
  bytes: number;
  /** Floating-point operations (f32) a second, two to an FMA. */
  flops: number;
  /** The same of pairs of f16; undefined where the device has none. */
  halfFlops?: number;
  /** The same of subgroup matrices of f16 with sums in f32; undefined where the adapter has none. */
  matrixFlops?: number;
}

const COPY = /* wgsl */ `
@group(0) @binding(0) var<storage, read> source: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read_write> target_: array<vec4<f32>>;
@compute @workgroup_size(256)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
  if (id.x < arrayLength(&target_)) { target_[id.x] = source[id.x]; }
}`;

/** Dispatches of a measurement. */
const RUNS = 8;
/** FMAs of a chain: in a loop, and one after the other in a round of it. */
const [ROUNDS, UNROLLED] = [32, 8];
/** Chains of four numbers an invocation: enough that no FMA waits for the one before. */
const CHAINS = 16;
const join = (n: number, text: (i: number) => string, between = " "): string => Array.from({ length: n }, (_, i) => text(i)).join(between);
/** Both factors are vectors, as GPUs pair f16 only then, and one is the sum itself, so that no compiler makes one addition of several. */
const fma = (number: "f32" | "f16"): string =>
  `${number === "f16" ? "enable f16;" : ""}
@group(0) @binding(0) var<storage, read_write> result: array<vec4<f32>>;
@compute @workgroup_size(128)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
  let factor = vec4<${number}>(vec4<f32>(id.xxxx % vec4<u32>(59u, 61u, 67u, 71u)) * 0.001);
  let term = factor.yzwx;
  ${join(CHAINS, (i) => `var s${i} = factor + ${i}.0;`)}
  for (var i = 0u; i < ${ROUNDS}u; i++) {
    ${join(UNROLLED, () => join(CHAINS, (i) => `s${i} = fma(s${i}, factor, term);`), "\n")}
  }
  result[id.x] = vec4<f32>(${join(CHAINS, (i) => `s${i}`, " + ")});
}`;

/** Subgroups of a workgroup that multiplies matrices, rounds, and left and right factors, each of which meets each. */
const [SUBGROUPS, MATRIX_ROUNDS, LEFTS, RIGHTS] = [4, 256, 2, 4];

/** Products of matrices that stay where they are. */
function matrixProducts(shape: SubgroupMatrixShape, lanes: number): string {
  const { rows, columns, depth } = shape;
  const part = { tile: "tile", depthInRows: true, stride: depth / 4 };
  const product: MatrixProduct = { name: "product", left: part, right: part };
  const array: SumsArray = { name: "sums", width: 4 };
  const size = Math.max(LEFTS * rows, RIGHTS * columns) * depth / 4;
  const taken = rows * columns / 4; // vectors of a subgroup's sums
  const { sums, load, multiply, store } = SUBGROUP_MATRICES;
  const each = (text: (i: number, j: number) => string) => join(LEFTS, (i) => join(RIGHTS, (j) => text(i, j), "\n"), "\n");
  return `enable f16; ${SUBGROUP_MATRICES.directives}
@group(0) @binding(0) var<storage, read_write> result: array<vec4<f32>>;
var<workgroup> tile: array<vec4<f16>, ${size}>;
var<workgroup> sums: array<vec4<f32>, ${SUBGROUPS * taken}>;
${matrixMain(SUBGROUPS * lanes, SUBGROUP_MATRICES)}
  for (var i = thread; i < ${size}u; i += ${
    SUBGROUPS * lanes
  }u) { tile[i] = vec4<f16>(vec4<f32>(vec4<u32>(i) % vec4<u32>(59u, 61u, 67u, 71u)) * 0.01); }
  workgroupBarrier();
  ${join(LEFTS, (i) => load("left", `left${i}`, { shape, product, at: `${i * rows * depth / 4}u` }), "\n")}
  ${join(RIGHTS, (j) => load("right", `right${j}`, { shape, product, at: `${j * columns * depth / 4}u` }), "\n")}
  ${each((i, j) => sums(`c${i}_${j}`, shape))}
  for (var round = 0u; round < ${MATRIX_ROUNDS}u; round++) {
    ${each((i, j) => multiply(`c${i}_${j}`, product, { left: `left${i}`, right: `right${j}` }))}
  }
  var all = vec4<f32>();
  ${
    each((i, j) =>
      `${store(`c${i}_${j}`, { shape, array, at: `subgroup * ${taken}u`, stride: columns / 4 })}
  workgroupBarrier();
  all += sums[thread % ${SUBGROUPS * taken}u];
  workgroupBarrier();`
    )
  }
  result[(group.y * groups.x + group.x) * ${SUBGROUPS * lanes}u + thread] = all;
}`;
}

/** Measures them: the fastest of several runs, since adapters clock themselves down while nothing is asked of them. */
export async function measureLimits(gpu: Gpu): Promise<Limits> {
  const size = gpu.software ? 32 * 2 ** 20 : Math.min(256 * 2 ** 20, gpu.maxBindingBytes);
  using copy = new Plan(gpu, "limit of copies");
  const tensor = () => copy.persistent([size / 4], { label: "copied" });
  const [source, target_] = [tensor(), tensor()];
  for (let i = 0; i < RUNS; i++) {
    copy.dispatch({ label: "copy", code: COPY }, { tensors: { source, target_ }, workgroups: [Math.min(65535, size / 16 / 256)] });
  }
  const copied = Math.min(65535 * 256 * 16, size);
  return {
    bytes: 2 * copied / (await milliseconds(copy)) * 1000,
    flops: await fmaRate(gpu, "f32"),
    ...(gpu.has("shader-f16") && { halfFlops: await fmaRate(gpu, "f16") }),
    matrixFlops: await matrixRate(gpu),
  };
}

async function matrixRate(gpu: Gpu): Promise<number | undefined> {
  const shape = largestMatrices(gpu.subgroupMatrices);
  const lanes = gpu.subgroupSize;
  if (!shape || !lanes) return undefined;
  const groups = gpu.software ? 16 : 4096;
  using plan = new Plan(gpu, "limit of matrices");
  const result = plan.persistent([groups * SUBGROUPS * lanes, 4], { label: "result" });
  const code = matrixProducts(shape, lanes);
  for (let i = 0; i < RUNS; i++) plan.dispatch({ label: "matrices", code }, { tensors: { result }, workgroups: [groups] });
  const products = groups * SUBGROUPS * MATRIX_ROUNDS * LEFTS * RIGHTS;
  return 2 * products * shape.rows * shape.columns * shape.depth / (await milliseconds(plan)) * 1000;
}

async function fmaRate(gpu: Gpu, number: "f32" | "f16"): Promise<number> {
  const groups = gpu.software ? 128 : 32768;
  using plan = new Plan(gpu, "limit of FMAs");
  const result = plan.persistent([groups * 128, 4], { label: "result" });
  for (let i = 0; i < RUNS; i++) plan.dispatch({ label: "fma", code: fma(number) }, { tensors: { result }, workgroups: [groups] });
  return groups * 128 * ROUNDS * UNROLLED * CHAINS * 4 * 2 / (await milliseconds(plan)) * 1000;
}

/** The shortest time of a dispatch of the plan, which are all the same. */
async function milliseconds(plan: Plan): Promise<number> {
  await plan.profile(); // warm
  return Math.min(...(await plan.profile()).map(({ milliseconds }) => milliseconds));
}
