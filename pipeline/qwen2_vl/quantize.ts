/** Which matrices are quantised, and how they get from a file to the GPU: row block by row block, rounded there. */
import type { Gpu } from "../../kernels/gpu.ts";
import type { Matrix } from "../../kernels/linear/matrix.ts";
import type { FloatWeightType, WeightType } from "../../kernels/linear/weight_types.ts";
import { Plan } from "../../kernels/plan.ts";
import { quantizeRows } from "../../kernels/quantize/quantize.ts";
import { bytesOf, Tensor } from "../../kernels/tensor.ts";

/**
 * Number type of a matrix on the GPU. With `int4` only the decoder layers have 4 bits (seven eighths of the 7B model's weights). The
 * embedding, the head and the vision tower then have 8: they are what answers depend on most and what is commonly left in 16 bits, which
 * takes 2.5 GiB more of a 7B model and would leave too little of 8 GiB to train in.
 *
 * @param name published name of the tensor
 * @param options wanted type, and the file's (`F32`, `BF16`, `F16`), which is kept where none is wanted
 */
export function matrixType(name: string, options: { weights?: WeightType; stored: string }): WeightType {
  const { weights, stored } = options;
  if (weights === "int4") return name.startsWith("model.layers.") ? "int4" : "int8";
  return weights ?? floatType(stored);
}

/** A file's number type on the GPU. */
function floatType(stored: string): FloatWeightType {
  return stored === "BF16" ? "bf16" : stored === "F16" ? "f16" : "f32";
}

/** Bytes that are uploaded before they are rounded: so much more GPU memory is needed while a model is loaded. */
const STAGING_BYTES = 16 << 20;

/** A tensor of a file on its way into a quantised matrix. */
export interface QuantizedUpload {
  /** Where its rows go. */
  target: Matrix;
  /** Row of the target that its first row becomes. */
  firstRow: number;
  /** The file's number type. */
  stored: string;
  /** Its bytes in order. */
  pieces: AsyncIterable<Uint8Array> | Iterable<Uint8Array>;
}

/** Uploads tensors as they are stored, some rows at a time, and rounds these on the GPU. */
export class Quantizer implements Disposable {
  readonly #gpu: Gpu;
  readonly #stagingBytes: number;
  #staging?: Tensor;

  /** @param options stagingBytes: of the rows that are uploaded at once (four rows at least); 16 MiB when left out */
  constructor(gpu: Gpu, options: { stagingBytes?: number } = {}) {
    this.#gpu = gpu;
    this.#stagingBytes = options.stagingBytes ?? STAGING_BYTES;
  }

  /** Writes all rows of a tensor. */
  async write({ target, firstRow, stored, pieces }: QuantizedUpload): Promise<void> {
    const dtype = floatType(stored);
    const { columns } = target;
    // Four rows are whole 32-bit words whatever their length.
    const perBlock = Math.max(1, Math.floor(this.#stagingBytes / bytesOf([4, columns], dtype))) * 4;
    const blockBytes = bytesOf([perBlock, columns], dtype);
    const rowBytes = blockBytes / perBlock;
    const staging = this.#stage(blockBytes);
    let row = firstRow;
    let filled = 0;
    const flush = () => {
      const rows = filled / rowBytes;
      if (!Number.isInteger(rows)) throw new Error(`"${target.blocks[0].tensor.label}": ${filled} bytes are no whole rows of ${rowBytes}`);
      using plan = new Plan(this.#gpu, "quantize");
      quantizeRows(plan, { source: new Tensor(staging.storage, [rows, columns], dtype), target, firstRow: row });
      plan.run();
      row += rows;
      filled = 0;
    };
    for await (let piece of pieces) {
      while (piece.length) {
        const data = piece.subarray(0, blockBytes - filled);
        this.#gpu.write(staging, data, { byteOffset: filled });
        filled += data.length;
        piece = piece.subarray(data.length);
        if (filled === blockBytes) flush();
      }
    }
    if (filled) flush();
  }

  /** Frees the memory of the rows on their way. */
  [Symbol.dispose](): void {
    if (this.#staging) this.#gpu.destroy(this.#staging);
    this.#staging = undefined;
  }

  #stage(bytes: number): Tensor {
    if (this.#staging && this.#staging.bytes >= bytes) return this.#staging;
    this[Symbol.dispose]();
    return this.#staging = this.#gpu.tensor([Math.ceil(bytes / 4)], { dtype: "u32", label: "weights to be quantized" });
  }
}
