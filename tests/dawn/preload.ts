/** Puts Dawn in the place of Deno's own WebGPU, so that the tests run on it unchanged: `deno test --preload=tests/dawn/preload.ts …`. */
import { openDawn } from "../../kernels/dawn/dawn.ts";

Object.defineProperty(navigator, "gpu", { value: await openDawn(), configurable: true });
