/** Small inputs of a plan (token ids, positions, weights of a loss) in one buffer, so that a run needs one write for all of them. */
import type { Plan } from "./plan.ts";
import { bytesOf, type DType, Tensor } from "./tensor.ts";

/** Shapes and number types by name. */
export type InputSpec = Readonly<Record<string, { shape: readonly number[]; dtype: Extract<DType, "f32" | "u32"> }>>;

/** The inputs' tensors by name and the way to write them all. */
export interface InputBlock<S extends InputSpec> {
  /** A tensor per input. */
  readonly tensors: { readonly [K in keyof S]: Tensor };
  /** Writes every input; arrays may be shorter than their tensors (the rest keeps its value of 0). */
  write(values: { readonly [K in keyof S]: ArrayLike<number> }): void;
}

/** Makes an input block that belongs to `plan`. */
export function inputBlock<S extends InputSpec>(plan: Plan, spec: S): InputBlock<S> {
  const starts: Record<string, number> = {};
  let total = 0;
  for (const name in spec) {
    starts[name] = total;
    total += Math.ceil(bytesOf(spec[name].shape, spec[name].dtype) / 256) * 256;
  }
  const words = plan.persistent([Math.max(total / 4, 1)], { dtype: "u32", label: `${plan.label} inputs` });
  const host = new ArrayBuffer(total);
  const arrays: Record<string, Uint32Array | Float32Array> = {};
  const tensors: Record<string, Tensor> = {};
  for (const name in spec) {
    const { shape, dtype } = spec[name];
    const count = shape.reduce((a, b) => a * b, 1);
    arrays[name] = dtype === "f32" ? new Float32Array(host, starts[name], count) : new Uint32Array(host, starts[name], count);
    tensors[name] = new Tensor(words.storage, shape, dtype, starts[name]);
  }
  return {
    tensors: tensors as { [K in keyof S]: Tensor },
    write(values) {
      for (const name in spec) {
        const array = arrays[name];
        const value = values[name];
        if (value.length > array.length) {
          throw new Error(`${plan.label}: ${value.length} values for the input "${name}" of ${array.length}`);
        }
        array.fill(0);
        array.set(value);
      }
      plan.gpu.write(words, new Uint8Array(host));
    },
  };
}
