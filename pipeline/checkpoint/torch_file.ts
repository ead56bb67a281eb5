/** Files of `torch.save` (PyTorch 1.6 and newer): read without executing anything, and written so that `torch.load` reads them. */
import { MaspError } from "../errors.ts";
import { writeAtomically } from "./atomic_write.ts";
import { type PickledValue, readTensorPickle, TensorRef } from "./pickle_reader.ts";
import { writeTensorPickle } from "./pickle_writer.ts";
import { bytesOf, DTYPE_BYTES, elementCount, showShape, type TensorArray, type TensorData, typedArray } from "./tensor_data.ts";
import { openTorchArchive, type TorchArchive } from "./torch_archive.ts";
import type { TorchValue } from "./torch_value.ts";

export { isTensor, type TorchValue } from "./torch_value.ts";

/**
 * Reads a `torch.save` file: dicts (as maps), lists and tuples (as arrays), texts, numbers, None, tensors and parameters. Of a tensor that
 * is a view into a larger storage only its own part is read, and laid out in row-major order.
 *
 * @param path Where the file is.
 * @throws {MaspError} When the file is missing, truncated or no such file, or its pickle names anything but tensors.
 */
export async function readTorchFile(path: string): Promise<TorchValue> {
  using archive = await openTorchArchive(path);
  if (archive.has("byteorder")) {
    const order = new TextDecoder().decode(archive.read("byteorder"));
    if (order !== "little") {
      throw new MaspError(`Cannot load "${path}": its byte order is "${order}", expected "little"; save it on another machine`);
    }
  }
  const value = await readTensorPickle(archive.read("data.pkl"), path);
  return resolve(value, { archive, seen: new Map() });
}

/**
 * Writes a `torch.save` file, whole or not at all. `torch.load(path)` reads it with its defaults.
 *
 * @param path Where the file shall be; missing folders are made.
 * @param value Tensors, maps (as dict), arrays (as list), texts, numbers (as int where whole, else float), null (as None).
 * @throws {MaspError} When a tensor's data does not fit its shape, its type is unknown to PyTorch, or the file cannot be written.
 */
export async function writeTorchFile(path: string, value: TorchValue): Promise<void> {
  const pickle = writeTensorPickle(value);
  for (const { dtype, shape, data } of pickle.storages) {
    const expected = elementCount(shape) * DTYPE_BYTES[dtype];
    if (data.byteLength !== expected) {
      throw new MaspError(
        `Cannot write "${path}": a tensor ${dtype} ${showShape(shape)} has ${data.byteLength} bytes, expected ${expected}`,
      );
    }
  }
  const text = (content: string) => new TextEncoder().encode(content);
  const { configure, Uint8ArrayReader, ZipWriter } = await import("@zip.js/zip.js");
  configure({ useWebWorkers: false });
  await writeAtomically(path, async (file) => {
    const output = new WritableStream<Uint8Array>({ write: (chunk) => writeChunk(file, chunk) });
    const zip = new ZipWriter(output, { level: 0, extendedTimestamp: false, useWebWorkers: false });
    const add = (name: string, bytes: Uint8Array) => zip.add(`archive/${name}`, new Uint8ArrayReader(bytes));
    await add("data.pkl", pickle.bytes);
    await add("byteorder", text("little"));
    for (const [key, tensor] of pickle.storages.entries()) await add(`data/${key}`, bytesOf(tensor.data));
    await add("version", text("3\n"));
    await zip.close();
  });
}

async function writeChunk(file: Deno.FsFile, chunk: Uint8Array): Promise<void> {
  for (let done = 0; done < chunk.length;) done += await file.write(chunk.subarray(done));
}

interface Resolving {
  archive: TorchArchive;
  /** What was resolved already: a value that stands at several places is read once. */
  seen: Map<PickledValue, TorchValue>;
}

function resolve(value: PickledValue, at: Resolving): TorchValue {
  if (typeof value !== "object" || value === null) return value;
  let result = at.seen.get(value);
  if (result === undefined) {
    if (value instanceof TensorRef) result = readTensor(value, at.archive);
    else if (value instanceof Map) result = new Map([...value].map(([key, item]) => [key, resolve(item, at)]));
    else result = value.map((item) => resolve(item, at));
    at.seen.set(value, result);
  }
  return result;
}

function readTensor(ref: TensorRef, archive: TorchArchive): TensorData {
  const { storage, shape, stride } = ref;
  const { key, dtype } = storage;
  const width = DTYPE_BYTES[dtype];
  const stored = archive.size(`data/${key}`);
  if (stored !== storage.length * width) {
    throw new MaspError(
      `Cannot load "${archive.path}": its entry data/${key} has ${stored} bytes, expected ${storage.length * width} for ` +
        `${storage.length} elements of ${dtype}; copy the file again`,
    );
  }
  const count = elementCount(shape);
  const span = count === 0 ? 0 : shape.reduce((sum, extent, axis) => sum + (extent - 1) * stride[axis], 1);
  const bytes = archive.read(`data/${key}`, { begin: ref.offset * width, end: (ref.offset + span) * width });
  const elements = typedArray(bytes, dtype);
  return { dtype, shape: [...shape], data: isRowMajor(shape, stride) ? elements : gather(elements, ref) };
}

function isRowMajor(shape: readonly number[], stride: readonly number[]): boolean {
  return shape.every((extent, axis) => extent === 1 || stride[axis] === elementCount(shape.slice(axis + 1))) || elementCount(shape) === 0;
}

/** Elements at Σ index·stride, in row-major order of the indices. */
function gather(source: TensorArray, { shape, stride }: TensorRef): TensorArray {
  const Same = source.constructor as new (length: number) => Float32Array;
  const target = new Same(elementCount(shape));
  const index = new Array<number>(shape.length).fill(0);
  const elements = source as Float32Array; // Any of the arrays: elements are only moved.
  for (let i = 0, place = 0; i < target.length; i++) {
    target[i] = elements[place];
    for (let axis = shape.length - 1; axis >= 0; axis--) {
      place += stride[axis];
      if (++index[axis] < shape[axis]) break;
      place -= stride[axis] * shape[axis];
      index[axis] = 0;
    }
  }
  return target;
}
