/** The pickle of a `torch.save` file (protocol 2), with the opcodes that PyTorch's restricted loader accepts. */
import { MaspError } from "../errors.ts";
import { elementCount, type TensorData, type TensorDtype } from "./tensor_data.ts";
import { isTensor, type TorchValue } from "./torch_value.ts";

/** A pickle, and the tensors it refers to: the n-th one is the storage `data/n`. */
export interface WrittenPickle {
  /** The bytes of `data.pkl`. */
  bytes: Uint8Array;
  /** The tensors in the order of their storages; a tensor that stands twice is one storage. */
  storages: TensorData[];
}

const STORAGE_NAMES: Partial<Record<TensorDtype, string>> = {
  F32: "FloatStorage",
  F16: "HalfStorage",
  BF16: "BFloat16Storage",
  F64: "DoubleStorage",
  I64: "LongStorage",
  I32: "IntStorage",
  I16: "ShortStorage",
  I8: "CharStorage",
  U8: "ByteStorage",
  BOOL: "BoolStorage",
};

/**
 * Pickles a value for a `torch.save` file. Whole numbers from -2^31 on become int, others float; arrays become lists, maps dicts.
 *
 * @throws {MaspError} When a tensor's type has no storage in PyTorch, or a value is none of {@linkcode TorchValue}.
 */
export function writeTensorPickle(value: TorchValue): WrittenPickle {
  const writer = new PickleWriter();
  return writer.finish(value);
}

class PickleWriter {
  #bytes: number[] = [0x80, 2]; // PROTO 2
  #storages: TensorData[] = [];

  finish(value: TorchValue): WrittenPickle {
    this.#value(value);
    this.#op("."); // STOP
    return { bytes: Uint8Array.from(this.#bytes), storages: this.#storages };
  }

  #value(value: TorchValue): void {
    if (value === null) this.#op("N");
    else if (typeof value === "boolean") this.#op(value ? "\x88" : "\x89");
    else if (typeof value === "number") this.#number(value);
    else if (typeof value === "string") this.#text(value);
    else if (Array.isArray(value)) this.#list(value);
    else if (value instanceof Map) this.#dict(value);
    else if (isTensor(value)) this.#tensor(value);
    else throw new MaspError(`A torch file cannot hold ${typeof value} ${String(value)}; expected tensors, maps, lists, texts and numbers`);
  }

  #number(value: number): void {
    const view = new DataView(new ArrayBuffer(8));
    if (!Number.isSafeInteger(value) || Object.is(value, -0) || value < -(2 ** 31)) {
      view.setFloat64(0, value, false);
      this.#op("G", ...new Uint8Array(view.buffer)); // BINFLOAT
    } else if (value === (value | 0)) {
      view.setInt32(0, value, true);
      this.#op("J", ...new Uint8Array(view.buffer, 0, 4)); // BININT
    } else {
      view.setBigInt64(0, BigInt(value), true);
      this.#op("\x8a", 8, ...new Uint8Array(view.buffer)); // LONG1
    }
  }

  #text(value: string): void {
    const bytes = new TextEncoder().encode(value);
    const length = new Uint8Array(new Uint32Array([bytes.length]).buffer);
    this.#op("X", ...length); // BINUNICODE
    for (const byte of bytes) this.#bytes.push(byte);
  }

  #list(items: TorchValue[]): void {
    this.#op("]"); // EMPTY_LIST
    this.#op("("); // MARK
    for (const item of items) this.#value(item);
    this.#op("e"); // APPENDS
  }

  #dict(map: Map<string | number, TorchValue>): void {
    this.#op("}"); // EMPTY_DICT
    this.#op("("); // MARK
    for (const [key, item] of map) {
      this.#value(key);
      this.#value(item);
    }
    this.#op("u"); // SETITEMS
  }

  /** `_rebuild_tensor_v2(storage, 0, shape, strides, False, OrderedDict())`, the storage as a persistent id. */
  #tensor(tensor: TensorData): void {
    const storageName = STORAGE_NAMES[tensor.dtype];
    if (!storageName) throw new MaspError(`A torch file cannot hold elements of type ${tensor.dtype}; use .safetensors`);
    const found = this.#storages.indexOf(tensor);
    const key = found >= 0 ? found : this.#storages.push(tensor) - 1;
    this.#global("torch._utils", "_rebuild_tensor_v2");
    this.#tuple(() => {
      this.#tuple(() => {
        this.#text("storage");
        this.#global("torch", storageName);
        this.#text(String(key));
        this.#text("cpu");
        this.#number(elementCount(tensor.shape));
      });
      this.#op("Q"); // BINPERSID
      this.#number(0);
      this.#tuple(() => tensor.shape.forEach((extent) => this.#number(extent)));
      this.#tuple(() => rowMajorStrides(tensor.shape).forEach((stride) => this.#number(stride)));
      this.#op("\x89"); // requires_grad: False
      this.#global("collections", "OrderedDict");
      this.#op(")"); // EMPTY_TUPLE
      this.#op("R"); // REDUCE
    });
    this.#op("R");
  }

  #global(module: string, name: string): void {
    this.#op("c", ...new TextEncoder().encode(`${module}\n${name}\n`));
  }

  #tuple(items: () => void): void {
    this.#op("("); // MARK
    items();
    this.#op("t"); // TUPLE
  }

  #op(code: string, ...argument: number[]): void {
    this.#bytes.push(code.charCodeAt(0), ...argument);
  }
}

function rowMajorStrides(shape: number[]): number[] {
  return shape.map((_, axis) => Math.max(1, elementCount(shape.slice(axis + 1))));
}
