/** Reads a folder of golden values (see tests/golden/README.md): `tensors.safetensors` and `cases.json`. */
import { dirname, fromFileUrl, join } from "@std/path";

/** Typed array that holds a golden tensor's elements. */
export type GoldenData = Float32Array | Int32Array | Uint32Array | Uint8Array | BigInt64Array | Float64Array;

/** One golden tensor; `data` holds `shape`'s elements in row-major order. */
export interface GoldenTensor<T extends GoldenData = GoldenData> {
  /** The safetensors name of the element type: F32, F64, I32, U32, I64, U8 or BOOL. */
  readonly dtype: string;
  /** Extents, outermost first. */
  readonly shape: number[];
  /** The elements. */
  readonly data: T;
}

/** The tensors of a golden folder, by name (`case/name`). */
export class GoldenTensors {
  #entries: Map<string, { dtype: string; shape: number[]; data_offsets: [number, number] }>;
  #bytes: Uint8Array;

  /** @param bytes A whole safetensors file. */
  constructor(bytes: Uint8Array) {
    const headerLength = Number(new DataView(bytes.buffer, bytes.byteOffset).getBigUint64(0, true));
    const header = JSON.parse(new TextDecoder().decode(bytes.subarray(8, 8 + headerLength)));
    delete header.__metadata__;
    this.#entries = new Map(Object.entries(header));
    this.#bytes = bytes.subarray(8 + headerLength);
  }

  /** Names of all tensors, sorted; with a prefix, only those that begin with it. */
  names(prefix = ""): string[] {
    return [...this.#entries.keys()].filter((name) => name.startsWith(prefix)).sort();
  }

  /** Whether there is a tensor of that name. */
  has(name: string): boolean {
    return this.#entries.has(name);
  }

  /** The tensor of that name, copied out of the file. @throws Error when there is none. */
  get(name: string): GoldenTensor {
    const entry = this.#entries.get(name);
    if (!entry) throw new Error(`No golden tensor "${name}"`);
    const buffer = this.#bytes.slice(...entry.data_offsets).buffer;
    return { dtype: entry.dtype, shape: entry.shape, data: view(entry.dtype, buffer) };
  }

  /** Like `get`, for a tensor that must be F32. @throws Error when it is not. */
  f32(name: string): GoldenTensor<Float32Array> {
    const tensor = this.get(name);
    if (!(tensor.data instanceof Float32Array)) throw new Error(`Golden tensor "${name}" is ${tensor.dtype}, not F32`);
    return tensor as GoldenTensor<Float32Array>;
  }

  /** The elements of an integer tensor (ids, grids, positions) as plain numbers. */
  integers(name: string): number[] {
    return Array.from<number | bigint>(this.get(name).data as ArrayLike<number | bigint>).map(Number);
  }
}

function view(dtype: string, buffer: ArrayBuffer): GoldenData {
  switch (dtype) {
    case "F32":
      return new Float32Array(buffer);
    case "F64":
      return new Float64Array(buffer);
    case "I32":
      return new Int32Array(buffer);
    case "U32":
      return new Uint32Array(buffer);
    case "I64":
      return new BigInt64Array(buffer);
    case "U8":
    case "BOOL":
      return new Uint8Array(buffer);
  }
  throw new Error(`Golden tensor of type ${dtype} is not supported`);
}

/** The project's own golden folder, `tests/golden`. */
export const GOLDEN_DIR: string = join(dirname(fromFileUrl(import.meta.url)), "golden");

/** Reads `tensors.safetensors` of a golden folder (default: `tests/golden`). */
export function goldenTensors(dir: string = GOLDEN_DIR): GoldenTensors {
  return new GoldenTensors(Deno.readFileSync(join(dir, "tensors.safetensors")));
}

/** Reads `cases.json` of a golden folder (default: `tests/golden`). The caller names the type it expects. */
export function goldenCases<T = Record<string, unknown>>(dir: string = GOLDEN_DIR): T {
  return JSON.parse(Deno.readTextFileSync(join(dir, "cases.json"))) as T;
}
