/** A checkpoint from its files to the GPU: bytes a second, and host memory while it loads. */
import type { Gpu } from "../../kernels/gpu.ts";
import { loadQwen2Vl } from "../../pipeline/load.ts";
import type { BenchOptions } from "./support.ts";

/** Runs the benchmark. */
export async function benchLoad(gpu: Gpu, options: BenchOptions): Promise<void> {
  const start = Deno.memoryUsage().rss;
  const held = gpu.counters.bytes;
  let peak = start;
  let size = 0;
  const begin = performance.now();
  using _model = await loadQwen2Vl(gpu, options.model, {
    weights: options.weights,
    onProgress: (_, total) => {
      size = total;
      peak = Math.max(peak, Deno.memoryUsage().rss);
    },
  });
  await gpu.sync();
  peak = Math.max(peak, Deno.memoryUsage().rss);
  const seconds = (performance.now() - begin) / 1000;
  const mib = (bytes: number) => (bytes / 2 ** 20).toFixed(0);
  const own = gpu.software ? `, of which the software adapter's own buffers hold ${mib(gpu.counters.bytes - held)}` : "";
  console.log(`${mib(size)} MiB in ${seconds.toFixed(2)} s: ${(size / seconds / 1e9).toFixed(2)} GB/s`);
  console.log(`host memory at most ${mib(peak - start)} MiB over the start${own}`);
}
