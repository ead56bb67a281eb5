/** How much memory an adapter gives. WebGPU does not say, so it is tried. */
import { requestGpu, type RequestGpuOptions } from "./gpu.ts";

/** Bytes of one buffer that is tried. */
const STEP = 2 ** 30;

/**
 * Whether an adapter gives that much memory at once: buffers are made on a device of their own, which is then destroyed. Nothing is written
 * to them. On a software adapter the memory is the machine's, and what is free there counts.
 *
 * @param bytes how much is wanted
 * @param options which adapter
 * @returns the bytes that it gives, at most `bytes`
 */
export async function availableMemory(bytes: number, options: RequestGpuOptions = {}): Promise<number> {
  await using gpu = await requestGpu(options);
  if (gpu.software) return Math.min(bytes, Deno.systemMemoryInfo().available);
  const { device } = gpu;
  const buffers: GPUBuffer[] = [];
  let given = 0;
  let lost = false;
  device.lost.then(() => lost = true);
  while (given < bytes && !lost) {
    const size = Math.min(STEP, Math.ceil((bytes - given) / 16) * 16, device.limits.maxBufferSize);
    device.pushErrorScope("out-of-memory");
    device.pushErrorScope("validation");
    buffers.push(device.createBuffer({ label: "probe", size, usage: GPUBufferUsage.STORAGE | GPUBufferUsage.COPY_DST }));
    const faults = [await device.popErrorScope(), await device.popErrorScope()];
    if (faults.some((fault) => fault)) break;
    given += size;
  }
  for (const buffer of buffers) buffer.destroy();
  return Math.min(bytes, given);
}
