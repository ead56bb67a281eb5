/**
 * A device that only counts: buffers have a size and nothing else, nothing is compiled or run, and what is read is zero. The whole program runs
 * on it as on a real one, so its counters tell what a run will need before anything is loaded.
 */
import { type Gpu, requestGpu } from "./gpu.ts";

/**
 * A counting stand-in for a device: same limits and features, so that the same kernels are chosen.
 *
 * @param gpu the device that it stands in for
 * @example
 * ```ts
 * import { countingGpu } from "./counting_gpu.ts";
 * import { requestGpu } from "./gpu.ts";
 *
 * await using gpu = await requestGpu();
 * await using counting = await countingGpu(gpu);
 * counting.tensor([1024, 1024]);
 * console.log(counting.counters.peakBytes, gpu.counters.peakBytes); // 4194304 0
 * ```
 */
export async function countingGpu(gpu: Gpu): Promise<Gpu> {
  const { device: { limits, features }, counters: _counters, scratch: _scratch, ...facts } = gpu;
  const nothing = () => {};
  const object = () => ({});
  const encoder = () => ({
    beginComputePass: () => ({ setPipeline: nothing, setBindGroup: nothing, dispatchWorkgroups: nothing, end: nothing }),
    copyBufferToBuffer: nothing,
    clearBuffer: nothing,
    resolveQuerySet: nothing,
    finish: object,
  });
  const device = {
    limits,
    features,
    lost: new Promise(nothing),
    queue: { submit: nothing, writeBuffer: nothing, onSubmittedWorkDone: () => Promise.resolve() },
    addEventListener: nothing,
    destroy: nothing,
    createBuffer: ({ size }: GPUBufferDescriptor) => ({
      size,
      destroy: nothing,
      unmap: nothing,
      mapAsync: () => Promise.resolve(),
      getMappedRange: () => new ArrayBuffer(size),
    }),
    createShaderModule: object,
    createBindGroupLayout: object,
    createPipelineLayout: object,
    createComputePipeline: object,
    createBindGroup: object,
    createCommandEncoder: encoder,
  };
  const adapter = { limits, features, info: { description: gpu.name }, requestDevice: () => Promise.resolve(device) };
  const counting = await requestGpu({ gpu: { requestAdapter: () => Promise.resolve(adapter) } as unknown as GPU });
  return Object.assign(counting, facts); // what was found out about the adapter
}
