/**
 * The pickle inside a `torch.save` file, read as data: the few names that tensors need are known, every other one is refused, and nothing
 * from the file is ever executed. Tensors come out as references into storages that lie beside the pickle.
 */
import { MaspError } from "../errors.ts";
import type { TensorDtype } from "./tensor_data.ts";

/** A storage: a run of elements in a file of its own. Frozen, since a pickle may try to change what it has made. */
export class StorageRef {
  /**
   * A reference to a storage.
   *
   * @param key Name of the file under `data/`.
   * @param dtype Type of its elements.
   * @param length Number of its elements.
   */
  constructor(readonly key: string, readonly dtype: TensorDtype, readonly length: number) {
    Object.freeze(this);
  }
}

/** A tensor as a view into a storage. Frozen, as its storage is. */
export class TensorRef {
  /** Extents, outermost first. */
  readonly shape: readonly number[];
  /** Step of each axis, in elements. */
  readonly stride: readonly number[];

  /**
   * A reference to a tensor.
   *
   * @param storage Where its elements lie.
   * @param offset Place of the first element, in elements.
   * @param layout Shape and strides, one of each per axis.
   */
  constructor(readonly storage: StorageRef, readonly offset: number, layout: { shape: number[]; stride: number[] }) {
    this.shape = Object.freeze([...layout.shape]);
    this.stride = Object.freeze([...layout.stride]);
    Object.freeze(this);
  }
}

/** What the pickle of a `torch.save` file holds, before the tensors' elements are read. */
export type PickledValue = TensorRef | Map<string | number, PickledValue> | PickledValue[] | string | number | boolean | null;

const STORAGES: Record<string, TensorDtype> = {
  FloatStorage: "F32",
  HalfStorage: "F16",
  BFloat16Storage: "BF16",
  DoubleStorage: "F64",
  LongStorage: "I64",
  IntStorage: "I32",
  ShortStorage: "I16",
  CharStorage: "I8",
  ByteStorage: "U8",
  BoolStorage: "BOOL",
};

const ALLOWED = ["torch._utils._rebuild_tensor_v2", "torch._utils._rebuild_parameter", "collections.OrderedDict", "torch.*Storage"];

/**
 * Reads the pickle of a `torch.save` file.
 *
 * @param bytes The whole `data.pkl`.
 * @param path For the messages.
 * @throws {MaspError} When it names anything but tensors, holds something else than {@linkcode PickledValue}, or is damaged.
 */
export async function readTensorPickle(bytes: Uint8Array, path: string): Promise<PickledValue> {
  const { BufferReader, NameRegistry, Parser } = await import("pickleparser");
  class AllowList extends NameRegistry {
    override onMissingName(module: string, name: string): never {
      throw new MaspError(
        `Refuses to load "${path}": the pickle names ${module}.${name}, expected nothing but tensors (${ALLOWED.join(", ")}); ` +
          `save the tensors alone in PyTorch, or do not trust this file`,
      );
    }
  }
  class Reader extends BufferReader {
    /** The parser takes LONG1 (0x8a, length, little-endian two's complement) for unsigned: a negative one must not pass as a large number. */
    override bytes(length: number) {
      const start = this.position;
      const data = super.bytes(length);
      if (bytes[start - 2] === 0x8a && bytes[start - 1] === length && data[length - 1] >= 0x80) refuse("holds a whole number below -2^31");
      return data;
    }
  }
  const names = new AllowList();
  // Frozen and made anew for each file, so that no file can leave anything behind for the next one.
  const register = (module: string, name: string, func: (...args: unknown[]) => unknown) =>
    names.register(module, name, Object.freeze(func));
  const storageTypes = new Map<unknown, TensorDtype>();
  for (const [name, dtype] of Object.entries(STORAGES)) {
    const type = () => refuse(`calls torch.${name}`);
    storageTypes.set(type, dtype);
    register("torch", name, type);
  }
  register("collections", "OrderedDict", (items) => orderedDict(items));
  register("torch._utils", "_rebuild_tensor_v2", rebuildTensor);
  register(
    "torch._utils",
    "_rebuild_parameter",
    (tensor) => tensor instanceof TensorRef ? tensor : refuse("makes a parameter of no tensor"),
  );

  try {
    const parser = new Parser({
      nameResolver: names,
      persistentResolver: { resolve: (id: unknown) => storageRef(id, storageTypes) },
      unpicklingTypeOfDictionary: "Map",
      unpicklingTypeOfSet: "Set",
    });
    return checked(parser.read<unknown>(new Reader(bytes)), { done: new Set(), open: new Set() });
  } catch (cause) {
    if (cause instanceof MaspError) throw cause;
    throw new MaspError(
      `Cannot load "${path}": its pickle ${cause instanceof Refused ? cause.message : `is damaged (${(cause as Error).message})`}, ` +
        `expected dicts of tensors; save it again with torch.save`,
      { cause },
    );
  }
}

class Refused extends Error {}

function refuse(what: string): never {
  throw new Refused(what);
}

/** `OrderedDict()` or, in old protocols, `OrderedDict([[key, value], …])`. */
function orderedDict(items: unknown): Map<unknown, unknown> {
  if (items === undefined) return new Map();
  if (!Array.isArray(items) || !items.every((item) => Array.isArray(item) && item.length === 2)) refuse("makes an OrderedDict of no pairs");
  return new Map(items as [unknown, unknown][]);
}

/** The persistent id `("storage", type, key, location, length)`; the location (cpu, cuda:0, …) does not matter here. */
function storageRef(id: unknown, types: Map<unknown, TensorDtype>): StorageRef {
  if (!Array.isArray(id) || id.length < 5 || id[0] !== "storage") refuse(`refers to something else than a storage`);
  const dtype = types.get(id[1]);
  if (!dtype || typeof id[2] !== "string" || !isCount(id[4])) {
    refuse(`has a wrong storage (key ${String(id[2])}, ${String(id[4])} elements)`);
  }
  return new StorageRef(id[2], dtype, id[4]);
}

/** `_rebuild_tensor_v2(storage, offset, size, stride, requires_grad, hooks, metadata)`. */
function rebuildTensor(...args: unknown[]): TensorRef {
  const [storage, offset, shape, stride, , , metadata] = args;
  if (!(storage instanceof StorageRef)) refuse("makes a tensor of no storage");
  if (!isCount(offset) || !isCounts(shape) || !isCounts(stride) || shape.length !== stride.length) {
    refuse(`has a tensor with offset ${offset}, shape (${shape}) and strides (${stride})`);
  }
  if (metadata instanceof Map && metadata.size > 0) refuse(`has a tensor with flags (${[...metadata.keys()].join(", ")})`);
  const last = shape.reduce((sum, extent, axis) => sum + (extent - 1) * stride[axis], offset);
  if (!shape.includes(0) && last >= storage.length) {
    refuse(`has a tensor of shape (${shape}) that ends at element ${last}, but its storage "${storage.key}" has ${storage.length}`);
  }
  const elements = shape.reduce((product, extent) => product * extent, 1);
  if (elements > Math.max(storage.length, 1 << 26)) refuse(`has a tensor of shape (${shape}) over ${storage.length} stored elements`);
  return new TensorRef(storage, offset, { shape, stride });
}

function isCount(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 0;
}

function isCounts(value: unknown): value is number[] {
  return Array.isArray(value) && value.every(isCount);
}

/** The value itself, once it is known to hold nothing but what {@linkcode PickledValue} says, and not itself. */
function checked(value: unknown, seen: { done: Set<unknown>; open: Set<unknown> }): PickledValue {
  if (value === null || typeof value === "string" || typeof value === "number" || typeof value === "boolean") return value;
  if (value instanceof TensorRef) return value;
  if (!(value instanceof Map || Array.isArray(value))) refuse(`holds ${describe(value)}`);
  if (seen.open.has(value)) refuse("holds a list or dict that contains itself");
  if (seen.done.has(value)) return value as PickledValue;
  seen.open.add(value);
  if (value instanceof Map) {
    if (Object.keys(value).length > 0) refuse("holds a dict in the form of protocol 0");
    for (const [key, item] of value) {
      if (typeof key !== "string" && typeof key !== "number") refuse(`has a dict whose key is ${describe(key)}`);
      checked(item, seen);
    }
  } else {
    for (const item of value) checked(item, seen);
  }
  seen.open.delete(value);
  seen.done.add(value);
  return value as PickledValue;
}

function describe(value: unknown): string {
  if (typeof value === "function") return "a name instead of a value";
  if (typeof value !== "object" || value === null) return `${typeof value} ${String(value)}`;
  return value instanceof Uint8Array ? "bytes" : `a ${value.constructor?.name ?? "object"}`;
}
