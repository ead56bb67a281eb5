/** The machinery under the kernels: memory, bindings, errors, what a second run creates. */
import { assert, assertEquals, assertMatch, assertRejects, assertThrows } from "@std/assert";
import { type Gpu, GpuError, requestGpu } from "../../kernels/gpu.ts";
import { FLOPS_PER_SUBMIT } from "../../kernels/commands.ts";
import { Kernel, type KernelSource } from "../../kernels/kernel.ts";
import { createMatrix, destroyMatrix } from "../../kernels/linear/matrix.ts";
import { Plan } from "../../kernels/plan.ts";
import { availableMemory } from "../../kernels/available_memory.ts";
import type { Tensor } from "../../kernels/tensor.ts";
import { gpuTest } from "./support.ts";

const ADD_ONE: KernelSource = {
  label: "add one",
  code: `struct Params { count: u32 }
@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read_write> y: array<f32>;
@group(0) @binding(2) var<uniform> params: Params;
@compute @workgroup_size(64) fn main(@builtin(global_invocation_id) id: vec3u) {
  if (id.x < params.count) { y[id.x] = x[id.x] + 1.0; }
}`,
};

/** Records a chain x → x + 1 → … through scratch tensors. @returns the tensors, the last a persistent one */
function chain(plan: Plan, x: Tensor, links: number): Tensor[] {
  const tensors = [x];
  for (let i = 1; i <= links; i++) {
    const y = i < links ? plan.scratch(x.shape, { label: `link ${i}` }) : plan.persistent(x.shape);
    plan.dispatch(ADD_ONE, { tensors: { x: tensors.at(-1)!, y }, params: { count: x.size }, workgroups: [Math.ceil(x.size / 64)] });
    tensors.push(y);
  }
  return tensors;
}

gpuTest("scratch tensors share memory when one is dead before the other is written, and only then", async (gpu) => {
  using plan = new Plan(gpu);
  const tensors = chain(plan, plan.persistent([1000], { data: new Float32Array(1000).fill(3) }), 6);
  plan.run();
  assert((await gpu.readFloats(tensors.at(-1)!)).every((value) => value === 9));
  const buffers = tensors.slice(1, -1).map(({ storage }) => storage.buffer);
  for (let i = 1; i < buffers.length; i++) assert(buffers[i] !== buffers[i - 1], "a step reads and writes one buffer");
  assertEquals(new Set(buffers).size, 2);
  const before = gpu.scratch.bytes;
  using other = new Plan(gpu);
  const again = chain(other, other.persistent([1000]), 4);
  other.run();
  assertEquals(gpu.scratch.bytes, before, "another plan took its own memory");
  assert(buffers.includes(again[1].storage.buffer));
});

const MIB = 2 ** 20;

/** Copies `x` through scratch tensors of so many MiB, which all live at the same time, and adds one. @returns the result */
function throughLarge(plan: Plan, x: Tensor, sizes: readonly number[]): Tensor {
  const large = sizes.map((mib) => plan.scratch([mib * MIB / 4]));
  large.forEach((tensor, i) => plan.copy(i ? large[i - 1].view(x.shape) : x, tensor));
  const y = plan.persistent(x.shape);
  plan.dispatch(ADD_ONE, { tensors: { x: large.at(-1)!.view(x.shape), y }, params: { count: x.size }, workgroups: [1] });
  for (const tensor of large) plan.copy(tensor.view([4]), plan.persistent([4]));
  return y;
}

Deno.test("scratch memory that is too small for a larger plan is given back; smaller plans go on, in the same run too", async () => {
  for (const together of [false, true]) {
    await using gpu = await requestGpu();
    using plan = new Plan(gpu);
    const x = plan.persistent([50], { data: new Float32Array(50).fill(3) });
    const plans = [[48, 48], [60, 60, 60], [20], [60, 60, 60, 60]].map((sizes) => {
      const plan = new Plan(gpu, sizes.join());
      return { plan, y: throughLarge(plan, x, sizes) };
    });
    const clears = plans.map(({ y }) => {
      const plan = new Plan(gpu);
      plan.clear(y);
      return plan;
    });
    const round = () => {
      gpu.run(...clears);
      if (together) gpu.run(...plans.map(({ plan }) => plan));
      else for (const { plan } of plans) plan.run();
    };
    for (let n = 0; n < 3; n++) {
      if (n === 2) { // everything has found its place
        const { buffers, bindGroups } = gpu.counters;
        round();
        assertEquals([gpu.counters.buffers, gpu.counters.bindGroups], [buffers, bindGroups]);
      } else round();
      for (const { y } of plans) assert((await gpu.readFloats(y)).every((value) => value === 4));
    }
    assert(gpu.scratch.bytes < 350 * MIB, `${gpu.scratch.bytes / MIB} MiB`);
    assert(gpu.counters.peakBytes < 350 * MIB, `${gpu.counters.peakBytes / MIB} MiB`);
    for (const { plan } of plans) plan[Symbol.dispose]();
    for (const plan of clears) plan[Symbol.dispose]();
  }
});

gpuTest("much work is submitted in parts, in its order", async (gpu) => {
  using plan = new Plan(gpu);
  const x = plan.persistent([10], { data: new Float32Array(10).fill(1) });
  const y = plan.scratch([10]);
  for (let i = 0; i < 7; i++) {
    const tensors = i % 2 ? { x: y, y: x } : { x, y };
    plan.dispatch(ADD_ONE, { tensors, params: { count: 10 }, workgroups: [1], flops: 0.4 * FLOPS_PER_SUBMIT });
  }
  const result = plan.persistent([10]);
  plan.copy(y, result);
  const { submits } = gpu.counters;
  gpu.run(plan, { from: result, to: x });
  assertEquals(gpu.counters.submits - submits, 3);
  assertEquals([...await gpu.readFloats(x)], Array(10).fill(8));
});

gpuTest("a profile has a time for every dispatch, however many they are", async (gpu) => {
  using plan = new Plan(gpu);
  chain(plan, plan.persistent([100]), 2100);
  const entries = await plan.profile();
  assertEquals(entries.length, 2100);
  assert(entries.every(({ label, milliseconds }) => label === "add one" && milliseconds >= 0 && milliseconds < 1000));
  assert(entries.some(({ milliseconds }) => milliseconds > 0));
});

Deno.test("a kernel that binds more buffers than the adapter allows says so", () => {
  const less = { name: "a small adapter", device: { limits: { maxStorageBuffersPerShaderStage: 1 } } } as unknown as Gpu;
  assertThrows(() => new Kernel(less, ADD_ONE), Error, 'add one binds 2 buffers; "a small adapter" allows 1');
});

gpuTest("the memory that is tried is the adapter's that runs", async () => {
  let asked = 0;
  const gpu = { requestAdapter: (options: GPURequestAdapterOptions) => (asked++, navigator.gpu.requestAdapter(options)) } as unknown as GPU;
  await using other = await requestGpu({ gpu });
  assertEquals(await availableMemory(1000, other.requested), 1000);
  assertEquals(asked, 2);
});

gpuTest("a second run creates no pipeline, bind group or buffer; a disposed plan gives its memory back", async (gpu) => {
  await gpu.sync();
  const start = gpu.counters.bytes;
  {
    using plan = new Plan(gpu);
    const [x, , y] = chain(plan, plan.persistent([100]), 2);
    plan.run();
    const { pipelines, bindGroups, buffers, dispatches } = gpu.counters;
    gpu.write(x, new Float32Array(100).fill(5));
    plan.run();
    assertEquals({ pipelines, bindGroups, buffers }, {
      pipelines: gpu.counters.pipelines,
      bindGroups: gpu.counters.bindGroups,
      buffers: gpu.counters.buffers,
    });
    assertEquals(gpu.counters.dispatches, dispatches + 2);
    assertEquals((await gpu.readFloats(y))[99], 7);
  }
  assertEquals(gpu.counters.bytes - start, 0);
});

gpuTest("a plan that was disposed of does not run", (gpu) => {
  const plan = new Plan(gpu, "gone");
  plan.clear(plan.persistent([4]));
  plan.run();
  plan[Symbol.dispose]();
  assertThrows(() => plan.run(), Error, "gone: the plan was disposed of");
  return Promise.resolve();
});

gpuTest("bindings, parameters and constants that do not fit the WGSL are named", async (gpu) => {
  using plan = new Plan(gpu);
  const x = plan.persistent([4]);
  const record = (tensors: Record<string, Tensor>, params: Record<string, number>) =>
    plan.dispatch(ADD_ONE, { tensors, params, workgroups: [1] });
  assertThrows(() => record({ x }, { count: 4 }), Error, 'add one: no tensor for the binding "y"');
  assertThrows(() => record({ x, y: x, z: x }, { count: 4 }), Error, 'add one: its WGSL binds no "z"');
  assertThrows(() => record({ x, y: x }, { counts: 4 }), Error, 'add one: no parameter "counts"');
  assertThrows(() => record({ x, y: x }, {}), Error);
  assertThrows(() => gpu.kernel({ ...ADD_ONE, constants: { TILE: 4 } }), Error, 'add one: no "const TILE"');
  const limit = gpu.device.limits.maxComputeWorkgroupsPerDimension;
  const many = () => plan.dispatch(ADD_ONE, { tensors: { x, y: plan.persistent([4]) }, params: { count: 4 }, workgroups: [limit + 1] });
  assertThrows(many, Error, `at most ${limit} in a dimension`);
  assertThrows(() => plan.copy(x, plan.persistent([3])), Error, "does not fit");
  const y = plan.persistent([4]);
  record({ x, y }, { count: 4 });
  plan.run();
  assertThrows(() => plan.clear(x), Error, "built already");
  gpu.destroy(x);
  using late = new Plan(gpu);
  late.dispatch(ADD_ONE, { tensors: { x, y }, params: { count: 4 }, workgroups: [1] });
  assertThrows(() => late.run(), Error, "was destroyed");
  await gpu.sync();
});

Deno.test("WGSL that does not compile: the error names kernel, place and fault", async () => {
  await using gpu = await requestGpu();
  gpu.kernel({ ...ADD_ONE, label: "broken", code: String(ADD_ONE.code).replace("x[id.x] + 1.0", "x[id.x] + nothing") });
  const { message } = await assertRejects(() => gpu.sync(), GpuError);
  assertMatch(message, /broken/);
  assertMatch(message, /nothing/);
  assertMatch(message, /6:\d+|:6\b|line 6/, `the line is not named: ${message}`);
});

gpuTest("a buffer over the adapter's limit is refused; a matrix of that size is cut into row blocks", (gpu) => {
  const { maxBufferSize } = gpu.device.limits;
  const { bytes } = gpu.counters;
  const error = assertThrows(() => gpu.tensor([Math.floor(maxBufferSize / 4) + 64], { label: "giant" }), GpuError);
  assertMatch(error.message, /"giant" needs a buffer of \d+ bytes; this adapter's largest is \d+/);
  const matrix = createMatrix(gpu, [40, 64], { maxBlockBytes: 64 * 4 * 16 });
  assertEquals(matrix.blocks.map(({ start, rows }) => [start, rows]), [[0, 16], [16, 16], [32, 8]]);
  destroyMatrix(gpu, matrix);
  assertThrows(() => createMatrix(gpu, [4, 64], { maxBlockBytes: 100 }), GpuError, "larger than one binding");
  assertEquals(gpu.counters.bytes, bytes);
  return Promise.resolve();
});

Deno.test("a matrix that finds no room gives the blocks back that it had", async () => {
  await using gpu = await requestGpu({ memoryLimit: 3 * 16 * 64 * 4 });
  const { bytes } = gpu.counters;
  const error = assertThrows(() => createMatrix(gpu, [80, 64], { label: "wide", maxBlockBytes: 64 * 4 * 16 }), GpuError);
  assertMatch(error.message, /Out of GPU memory: "wide\[48\.\.64\)" needs/);
  assertEquals(gpu.counters.bytes, bytes);
  destroyMatrix(gpu, createMatrix(gpu, [48, 64])); // what it had can be used again
});

Deno.test("a device that is lost in the middle: a clear error, and no wait without end", async () => {
  const gpu = await requestGpu();
  using plan = new Plan(gpu);
  const [, , y] = chain(plan, plan.persistent([100]), 2);
  plan.run();
  await gpu.sync();
  gpu.device.destroy();
  await gpu.device.lost;
  const attempt = async () => {
    plan.run();
    await gpu.readFloats(y);
  };
  const { message } = await assertRejects(attempt, GpuError);
  assert(/The GPU was lost/.test(message) && /--resume/.test(message), message);
});

Deno.test("a wait that fails before the device says that it is lost gives the device's own account", async () => {
  const gpu = await requestGpu();
  const wait = gpu.settled(Promise.reject(new DOMException("validation error occurred", "OperationError")));
  setTimeout(() => gpu.device.destroy(), 20);
  await assertRejects(() => wait, GpuError, "The GPU was lost");
});

Deno.test("a wait that fails while the device says nothing gives the wait's own message", async () => {
  await using gpu = await requestGpu();
  const wait = gpu.settled(Promise.reject(new DOMException("validation error occurred", "OperationError")));
  await assertRejects(() => wait, GpuError, "GPU error: validation error occurred");
});
