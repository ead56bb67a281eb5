/** What an adapter can do at most, measured by two small kernels: bytes copied a second, and multiplications with additions a second. */
import type { Gpu } from "../../kernels/gpu.ts";
import { Plan } from "../../kernels/plan.ts";
import { median } from "./support.ts";

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

const ROUNDS = 256;
/** Four accumulators of four numbers: enough that no FMA waits for the one before. */
const FMA = /* wgsl */ `
const ROUNDS: u32 = ${ROUNDS}u;
@group(0) @binding(0) var<storage, read_write> result: array<vec4<f32>>;
@compute @workgroup_size(256)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
  let factor = result[id.x % 64u];
  var a = factor; var b = factor + 1.0; var c = factor + 2.0; var d = factor + 3.0;
  for (var i = 0u; i < ROUNDS; i++) {
    a = fma(a, factor, b); b = fma(b, factor, c); c = fma(c, factor, d); d = fma(d, factor, a);
    a = fma(a, factor, b); b = fma(b, factor, c); c = fma(c, factor, d); d = fma(d, factor, a);
  }
  result[id.x] = a + b + c + d;
}`;

/** Measures both; medians of a few runs. */
export async function measureLimits(gpu: Gpu): Promise<Limits> {
  const size = gpu.software ? 32 * 2 ** 20 : Math.min(256 * 2 ** 20, gpu.maxBindingBytes);
  using copy = new Plan(gpu, "limit of copies");
  const tensor = () => copy.persistent([size / 4], { label: "copied" });
  copy.dispatch({ label: "copy", code: COPY }, {
    tensors: { source: tensor(), target_: tensor() },
    workgroups: [Math.min(65535, size / 16 / 256)],
  });
  const groups = gpu.software ? 64 : 16384;
  using fma = new Plan(gpu, "limit of FMAs");
  const result = fma.persistent([groups * 256, 4], { label: "result" });
  fma.dispatch({ label: "fma", code: FMA }, { tensors: { result }, workgroups: [groups] });
  const copied = Math.min(65535 * 256 * 16, size);
  return {
    bytes: 2 * copied / (await milliseconds(copy)) * 1000,
    flops: groups * 256 * ROUNDS * 8 * 4 * 2 / (await milliseconds(fma)) * 1000,
  };
}

/** Median time of a plan of one dispatch. */
async function milliseconds(plan: Plan): Promise<number> {
  const times: number[] = [];
  for (let i = 0; i < 6; i++) times.push((await plan.profile())[0].milliseconds);
  return median(times.slice(1));
}
