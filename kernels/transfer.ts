/** Bytes to the GPU and back. */
import type { Gpu } from "./gpu.ts";
import type { Tensor } from "./tensor.ts";

/** Bytes of one `writeBuffer`: larger pieces are slower. */
const PIECE = 8 << 20;
/** After so many bytes an empty submit: what is written stays in host memory until then. A software adapter's buffers lie there anyway. */
const FLUSH = { software: 16 << 20, gpu: 64 << 20 };
const unflushed = new WeakMap<Gpu, number>();

/** Writes `data` into `tensor` from `byteOffset` on, in pieces. */
export function uploadBytes(gpu: Gpu, tensor: Tensor, data: ArrayBufferView, byteOffset: number): void {
  const { buffer } = tensor.storage;
  if (!buffer) throw new Error(`"${tensor.label}" has no buffer to write to`);
  if (byteOffset + data.byteLength > Math.ceil(tensor.bytes / 4) * 4 || byteOffset % 4) {
    throw new Error(`"${tensor.label}": ${data.byteLength} bytes at ${byteOffset} do not fit into ${tensor.bytes}`);
  }
  let bytes = new Uint8Array(data.buffer as ArrayBuffer, data.byteOffset, data.byteLength);
  if (bytes.length % 4) {
    const padded = new Uint8Array(Math.ceil(bytes.length / 4) * 4);
    padded.set(bytes);
    bytes = padded;
  }
  for (let at = 0; at < bytes.length; at += PIECE) {
    const piece = bytes.subarray(at, at + PIECE);
    gpu.device.queue.writeBuffer(buffer, tensor.offset + byteOffset + at, piece);
    const pending = (unflushed.get(gpu) ?? 0) + piece.length;
    const full = pending >= (gpu.software ? FLUSH.software : FLUSH.gpu);
    if (full) gpu.device.queue.submit([]);
    unflushed.set(gpu, full ? 0 : pending);
  }
}

/** Copies tensors to host memory behind one wait. */
export async function readTensors(gpu: Gpu, tensors: readonly Tensor[]): Promise<Uint8Array<ArrayBuffer>[]> {
  const starts: number[] = [];
  let total = 0;
  for (const tensor of tensors) {
    starts.push(total);
    total += Math.ceil(tensor.bytes / 16) * 16;
  }
  const staging = gpu.buffer(total, "readback", GPUBufferUsage.MAP_READ | GPUBufferUsage.COPY_DST);
  try {
    const encoder = gpu.device.createCommandEncoder({ label: "readback" });
    tensors.forEach((tensor, i) => {
      if (!tensor.storage.buffer) throw new Error(`"${tensor.label}" has no buffer to read from`);
      if (tensor.bytes) encoder.copyBufferToBuffer(tensor.storage.buffer, tensor.offset, staging, starts[i], tensor.bytes);
    });
    gpu.submit(encoder);
    await gpu.settled(staging.mapAsync(GPUMapMode.READ));
    const mapped = new Uint8Array(staging.getMappedRange());
    return tensors.map((tensor, i) => mapped.slice(starts[i], starts[i] + tensor.bytes));
  } finally {
    gpu.release(staging);
  }
}

/** A copy on the GPU: all bytes of `from` to the start of `to`. */
export interface TensorCopy {
  /** Source. */
  readonly from: Tensor;
  /** Target, at least as large. */
  readonly to: Tensor;
}

/** Encodes a copy. */
export function encodeCopy(encoder: GPUCommandEncoder, { from, to }: TensorCopy): void {
  if (from.bytes > to.bytes) throw new Error(`"${from.label}" (${from.bytes} bytes) does not fit into "${to.label}" (${to.bytes})`);
  if (!from.storage.buffer || !to.storage.buffer) {
    throw new Error(`a copy from "${from.label}" to "${to.label}": one of them has no memory`);
  }
  if (from.bytes) encoder.copyBufferToBuffer(from.storage.buffer, from.offset, to.storage.buffer, to.offset, from.bytes);
}
