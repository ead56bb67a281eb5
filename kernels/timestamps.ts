/** Times on the GPU by timestamp queries. */
import type { Gpu } from "./gpu.ts";

/** Queries of one set: WebGPU allows 4096. */
const SET = 4096;

/** Begin and end of a number of compute passes. */
export class Timestamps implements Disposable {
  readonly #gpu: Gpu;
  readonly #sets: GPUQuerySet[];
  readonly #count: number;

  /**
   * @param passes how many passes; every one of them has to be run before the times are read
   * @throws {Error} when the adapter has no `timestamp-query`
   */
  constructor(gpu: Gpu, passes: number) {
    if (!gpu.has("timestamp-query")) throw new Error("This adapter has no timestamp-query: no profile.");
    this.#gpu = gpu;
    this.#count = 2 * passes;
    // No query that is never written: reading one may wait for ever.
    this.#sets = Array.from(
      { length: Math.ceil(this.#count / SET) },
      (_, i) => gpu.device.createQuerySet({ type: "timestamp", count: Math.min(SET, this.#count - SET * i) }),
    );
  }

  /** What pass number `i` is begun with. */
  of(i: number): GPUComputePassTimestampWrites {
    const at = 2 * i % SET;
    return { querySet: this.#sets[Math.floor(2 * i / SET)], beginningOfPassWriteIndex: at, endOfPassWriteIndex: at + 1 };
  }

  /** Milliseconds of every pass. */
  async milliseconds(): Promise<number[]> {
    const period = await periodOf(this.#gpu);
    return (await this.#ticks()).map((ticks) => ticks * period / 1e6);
  }

  /** Nanoseconds to a tick, if this pass of nothing else took the time from `start` (`performance.now()`) until now. */
  async period(start: number): Promise<{ period: number; wall: number }> {
    const [ticks] = await this.#ticks();
    const wall = performance.now() - start;
    return { period: ticks > 0 ? wall * 1e6 / ticks : 1, wall };
  }

  async #ticks(): Promise<number[]> {
    const { device } = this.#gpu;
    if (this.#count === 0) return [];
    const size = 8 * this.#count;
    const resolved = device.createBuffer({
      size: 256 * Math.ceil(size / 256),
      usage: GPUBufferUsage.QUERY_RESOLVE | GPUBufferUsage.COPY_SRC,
    });
    const ticks = this.#gpu.tensor([this.#count, 2], { dtype: "u32", label: "time stamps" });
    const resolve = device.createCommandEncoder();
    this.#sets.forEach((set, i) => resolve.resolveQuerySet(set, 0, set.count, resolved, 8 * SET * i));
    const copy = device.createCommandEncoder(); // of its own: some drivers let a copy overtake the resolve in one
    copy.copyBufferToBuffer(resolved, 0, ticks.storage.buffer!, 0, size);
    this.#gpu.submit(resolve);
    this.#gpu.submit(copy);
    try {
      const [bytes] = await this.#gpu.read(ticks);
      const stamps = new BigUint64Array(bytes.buffer);
      return Array.from({ length: this.#count / 2 }, (_, i) => Number(BigInt.asIntN(64, stamps[2 * i + 1] - stamps[2 * i])));
    } finally {
      resolved.destroy();
      this.#gpu.destroy(ticks);
    }
  }

  /** Frees the queries. */
  [Symbol.dispose](): void {
    for (const set of this.#sets) set.destroy();
  }
}

/** A chain of FMAs, each waiting for the one before, on one workgroup: about a millisecond anywhere. */
const CHAIN = /* wgsl */ `
@group(0) @binding(0) var<storage, read_write> x: array<f32>;
@compute @workgroup_size(64)
fn main(@builtin(local_invocation_index) i: u32) {
  var sum = x[i];
  for (var n = 0u; n < 100000u; n++) { sum = fma(sum, 0.999, 0.001); }
  x[i] = sum;
}`;
/** Milliseconds beside which what comes with a wait is little. */
const LONG = 40;
/** Ticks slower than this many nanoseconds are no nanoseconds: a wait takes some time of its own. */
const NANOSECOND = 2;

const periods = new WeakMap<Gpu, Promise<number>>();

/**
 * Nanoseconds to a tick. WebGPU's time stamps are in nanoseconds; native implementations may give the driver's ticks as they are (10 ns
 * on AMD, 52 or 83 ns on Intel), which shows beside the wall clock: the first call must find the GPU idle.
 */
export function periodOf(gpu: Gpu): Promise<number> {
  let period = periods.get(gpu);
  if (!period) periods.set(gpu, period = measurePeriod(gpu));
  return period;
}

async function measurePeriod(gpu: Gpu): Promise<number> {
  const kernel = gpu.kernel({ label: "chain", code: CHAIN });
  const x = gpu.tensor([64], { data: new Float32Array(64).fill(0.5), label: "chain" });
  const resource = { buffer: x.storage.buffer! };
  const group = gpu.device.createBindGroup({ layout: kernel.layout, entries: [{ binding: 0, resource }] });
  const measure = async (dispatches: number) => {
    using stamps = new Timestamps(gpu, 1);
    const encoder = gpu.device.createCommandEncoder();
    const pass = encoder.beginComputePass({ timestampWrites: stamps.of(0) });
    pass.setPipeline(kernel.pipeline);
    pass.setBindGroup(0, group);
    for (let i = 0; i < dispatches; i++) pass.dispatchWorkgroups(1);
    pass.end();
    await gpu.sync();
    const start = performance.now();
    gpu.submit(encoder);
    return await stamps.period(start);
  };
  try {
    await measure(1); // compiles, where that was left for the first run
    let dispatches = 1;
    while (dispatches <= 1000 && (await measure(dispatches)).wall <= LONG) dispatches *= 4;
    // What else takes time meanwhile only adds to the wall clock.
    const periods = [await measure(dispatches), await measure(dispatches), await measure(dispatches)].map(({ period }) => period);
    const period = Math.min(...periods);
    return period < NANOSECOND ? 1 : period;
  } finally {
    gpu.destroy(x);
  }
}
