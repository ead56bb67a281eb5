/**
 * Dawn, the WebGPU implementation of Chromium, as an optional second one: it offers subgroup matrices (tensor cores), which Deno's own does
 * not. The npm package `webgpu` (130 MB) has a folder of its own beside this file, outside the project's imports and lock file, so that
 * nobody downloads it who does not ask for it.
 */
import { GpuError } from "../gpu.ts";
import { pausePolling } from "./pause_polling.ts";

/** Options of {@linkcode openDawn}. */
export interface OpenDawnOptions {
  /** Dawn's name of a graphics interface: `vulkan`, `metal`, `d3d12`, or `null`, which checks shaders and runs nothing. Dawn's choice when left out. */
  backend?: string;
  /** Where the npm package's `index.js` lies; beside this file when left out. */
  package?: URL;
  /** Further toggles of Dawn to turn on, by their names in its Toggles.cpp. */
  toggles?: readonly string[];
}

/** What the npm package exports. */
interface DawnModule {
  create(options: string[]): GPU;
}

/**
 * Experimental features (subgroup matrices among them); 16-bit floats on NVIDIA's Vulkan, which Dawn leaves out otherwise; and no checks of places
 * in buffers: they are for programs that a browser does not trust, our kernels keep to their buffers, and matrices are multiplied a fifth faster.
 */
const TOGGLES = ["allow_unsafe_apis", "vulkan_enable_f16_on_nvidia", "disable_robustness"];

/** Time stamps in steps of 0.1 ms, against fingerprinting in a browser. */
const TOGGLES_OFF = ["timestamp_quantization"];

/** What was made: a device whose implementation was garbage-collected crashes. */
const kept: GPU[] = [];

const PACKAGE = new URL("./package/node_modules/webgpu/index.js", import.meta.url);

/**
 * Loads Dawn.
 *
 * @returns a WebGPU implementation, for `requestGpu`
 * @throws {GpuError} when it is not installed, or does not load on this system
 * @example
 * ```ts ignore
 * import { requestGpu } from "../gpu.ts";
 * import { openDawn } from "./dawn.ts";
 * await using gpu = await requestGpu({ gpu: await openDawn() });
 * ```
 */
export async function openDawn(options: OpenDawnOptions = {}): Promise<GPU> {
  const { backend = Deno.build.os === "linux" ? "vulkan" : undefined, toggles = [], package: file = PACKAGE } = options;
  let dawn: DawnModule;
  try {
    dawn = await import(file.href);
  } catch (error) {
    if ((error as { code?: string }).code === "ERR_MODULE_NOT_FOUND") {
      throw new GpuError("Dawn is not installed. Install it with deno task install-dawn (130 MB), or leave --gpu dawn out.", {
        cause: error,
      });
    }
    throw new GpuError(`Dawn does not load on this system: ${(error as Error).message}\nLeave --gpu dawn out to use Deno's own WebGPU.`, {
      cause: error,
    });
  }
  pausePolling();
  const features = [`enable-dawn-features=${[...TOGGLES, ...toggles].join(",")}`, `disable-dawn-features=${TOGGLES_OFF.join(",")}`];
  const gpu = dawn.create([...features, ...(backend ? [`backend=${backend}`] : [])]);
  kept.push(gpu);
  return gpu;
}
