/** The largest magnitude among a matrix's weights, which products that sum in f16 must know to stay finite. */
import type { Gpu } from "../gpu.ts";
import { Plan } from "../plan.ts";
import { type Matrix, type MatrixBlock, weightTensors } from "./matrix.ts";
import { storageWgsl } from "./storage_wgsl.ts";
import { takesHalf } from "./takes_half.ts";
import { storedColumns, type WeightType } from "./weight_types.ts";

const WORKGROUP = 256;
/** Workgroups of a block, of which each takes a part. */
const MOST_GROUPS = 1024;

/** An invocation takes every so many fours of weights; `largest` has one number a block, as bits of an f32 without a sign, which have its order. */
const wgsl = (dtype: WeightType): string => {
  const { four, functions, scales, read4 } = storageWgsl(dtype);
  return `
struct Params { fours: u32, block: u32 }
@group(0) @binding(0) var<storage, read> w: array<${four}>;
@group(0) @binding(1) var<storage, read_write> largest: array<atomic<u32>>;
@group(0) @binding(2) var<uniform> params: Params;
${scales ? "@group(0) @binding(6) var<storage, read> scales: array<u32>;" : ""}
${functions}
@compute @workgroup_size(${WORKGROUP})
fn main(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
  var most = vec4<f32>();
  for (var i = id.x; i < params.fours; i += groups.x * ${WORKGROUP}u) { most = max(most, abs(${read4("i")})); }
  atomicMax(&largest[params.block], bitcast<u32>(max(max(most.x, most.y), max(most.z, most.w))));
}`;
};

/**
 * Measures the blocks of matrices and keeps the numbers there (`MatrixBlock.largest`), behind one wait; of those alone with whose weights products
 * may be computed in f16 on this device.
 */
export async function measureLargest(gpu: Gpu, matrices: readonly Matrix[]): Promise<void> {
  const blocks = matrices.flatMap(({ blocks }) => blocks).filter((block) => takesHalf(gpu, { dtype: typeOf(block) }));
  if (blocks.length === 0) return;
  using plan = new Plan(gpu, "largest weights");
  const largest = plan.persistent([blocks.length], { label: "largest weights" });
  blocks.forEach((block, b) => {
    const dtype = typeOf(block);
    const fours = Math.ceil(block.rows * storedColumns(block.tensor.shape[1], dtype) / 4);
    plan.dispatch({ label: `largest weight ${dtype}`, code: wgsl(dtype) }, {
      tensors: { ...weightTensors(block), largest },
      params: { fours, block: b },
      workgroups: [Math.min(MOST_GROUPS, Math.ceil(fours / WORKGROUP))],
    });
  });
  plan.run();
  (await gpu.readFloats(largest)).forEach((value, b) => blocks[b].largest = value);
}

function typeOf({ tensor }: MatrixBlock): WeightType {
  return tensor.dtype as WeightType;
}
