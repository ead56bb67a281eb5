/** What a GPU is asked for with, and what it counts. */

/** What was created and run so far. */
export interface GpuCounters {
  /** Compute pipelines compiled. */
  pipelines: number;
  /** Bind groups created. */
  bindGroups: number;
  /** Buffers created. */
  buffers: number;
  /** Dispatches encoded. */
  dispatches: number;
  /** Command buffers submitted. */
  submits: number;
  /** Bytes of GPU memory held now. */
  bytes: number;
  /** The most bytes of GPU memory that were held at once. */
  peakBytes: number;
}

/** Options of {@linkcode requestGpu}. */
export interface RequestGpuOptions {
  /** Any WebGPU implementation; Deno's own (`navigator.gpu`) when left out. */
  gpu?: GPU;
  /** Which adapter to prefer where there are several. */
  powerPreference?: GPUPowerPreference;
  /**
   * Whether products with frozen weights may round their factors to f16 (about 1e-3 of their size) where the adapter computes with it.
   * Left out: f16 on hardware, f32 on software adapters, which gain nothing by it.
   */
  precision?: "f32" | "f16";
  /** Choose kernels as for a software adapter or as for hardware, whatever the adapter is (to try the others). */
  software?: boolean;
  /** Refuse to allocate more than this many bytes in all (for trying how a run behaves on a smaller GPU). */
  memoryLimit?: number;
}

/** A state of a device that `Gpu.recover` goes back to. */
export interface GpuMark {
  /** Kernels that were compiled. */
  readonly kernels: number;
  /** Buffers that had been created. */
  readonly buffers: number;
}
