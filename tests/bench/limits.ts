/** What an adapter can do at most, measured by two small kernels: bytes copied a second, and multiplications with additions a second. */
import type { Gpu } from "../../kernels/gpu.ts";
import { Plan } from "../../kernels/plan.ts";

/** Rates of an adapter. */
export interface Limits {
  /** Bytes read and written a second by a copy. */
  bytes: number;
  /** Floating-point operations (f32) a second, two to an FMA. */
  flops: number;
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
const ROUNDS = 256;
/** Chains of four numbers a thread: enough that no FMA waits for the one before. */
const CHAINS = 8;
const each = (text: (i: number) => string): string => Array.from({ length: CHAINS }, (_, i) => text(i)).join(" ");
const FMA = /* wgsl */ `
const ROUNDS: u32 = ${ROUNDS}u;
@group(0) @binding(0) var<storage, read_write> result: array<vec4<f32>>;
@compute @workgroup_size(256)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
  let factor = result[id.x].x; // an invocation's own, since others write theirs meanwhile
  let term = result[id.x].y;
  ${each((i) => `var s${i} = vec4<f32>(factor + ${i}.0);`)}
  for (var i = 0u; i < ROUNDS; i++) {
    ${each((i) => `s${i} = fma(s${i}, vec4<f32>(factor), vec4<f32>(term));`)}
  }
  result[id.x] = ${Array.from({ length: CHAINS }, (_, i) => `s${i}`).join(" + ")};
}`;

/** Measures both: the fastest of several runs, since adapters clock themselves down while nothing is asked of them. */
export async function measureLimits(gpu: Gpu): Promise<Limits> {
  const size = gpu.software ? 32 * 2 ** 20 : Math.min(256 * 2 ** 20, gpu.maxBindingBytes);
  using copy = new Plan(gpu, "limit of copies");
  const tensor = () => copy.persistent([size / 4], { label: "copied" });
  const [source, target_] = [tensor(), tensor()];
  for (let i = 0; i < RUNS; i++) {
    copy.dispatch({ label: "copy", code: COPY }, { tensors: { source, target_ }, workgroups: [Math.min(65535, size / 16 / 256)] });
  }
  const groups = gpu.software ? 64 : 16384;
  using fma = new Plan(gpu, "limit of FMAs");
  const result = fma.persistent([groups * 256, 4], { label: "result" });
  for (let i = 0; i < RUNS; i++) fma.dispatch({ label: "fma", code: FMA }, { tensors: { result }, workgroups: [groups] });
  const copied = Math.min(65535 * 256 * 16, size);
  return {
    bytes: 2 * copied / (await milliseconds(copy)) * 1000,
    flops: groups * 256 * ROUNDS * CHAINS * 4 * 2 / (await milliseconds(fma)) * 1000,
  };
}

/** The shortest time of a dispatch of the plan, which are all the same. */
async function milliseconds(plan: Plan): Promise<number> {
  await plan.profile(); // warm
  return Math.min(...(await plan.profile()).map(({ milliseconds }) => milliseconds));
}
